"""Long clips are computed in pieces: nothing changes but the memory; and beyond a limit they are refused unread."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import ROOT, SAMPLE_RATE, tone, write_machine, write_wav
from test_export import CLIPS, SCORERS, config_of, make_member

from ganad_tf.audio import lengths, read
from ganad_tf.cli import main
from ganad_tf.config.sections import Audio
from ganad_tf.errors import InputError, MemoryShortageError
from ganad_tf.exporting.graph import SoundScorer
from ganad_tf.features import LogMel, memory, pieces
from ganad_tf.files import tensorflow_errors
from ganad_tf.scoring import clip_values
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.predict import local

SHAPES = [  # with either logarithm in turns
    (*size, pad_mode, log, beyond)
    for size in ((1024, 512), (512, 300), (512, 700))
    for number, pad_mode in enumerate(("reflect", "constant"))
    for beyond, log in zip((0, 1, 149, 299), ("baseline", "relative_80db") * 2, strict=True)
]


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "pad_mode", "log", "beyond"),
    [pytest.param(*shape, marks=() if number % 7 == 0 else pytest.mark.slow) for number, shape in enumerate(SHAPES)],
)
def test_a_log_mel_in_pieces_is_that_in_one_go(n_fft, hop_length, pad_mode, log, beyond):
    layer = LogMel(n_fft=n_fft, hop_length=hop_length, n_mels=32, pad_mode=pad_mode, log=log)
    waveform = np.random.default_rng(0).normal(0, 0.1, 8 * SAMPLE_RATE + beyond).astype(np.float32)
    waveform[: SAMPLE_RATE * 4] *= 1e-3
    expected = layer(waveform[np.newaxis])[0].numpy()
    for at_once in (6, 37, 100):
        found = layer.in_pieces(waveform, at_once=at_once).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_what_a_clip_is_cut_into_depends_on_its_length_alone():
    ranges = []

    def note(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
        ranges.append((int(begin), int(end)))
        return [tf.zeros([end - begin])]

    pieces.concat_ranges(note, tf.constant(10), 4, [[]])
    assert ranges == [(0, 4), (4, 7), (7, 10)]
    ranges.clear()
    pieces.concat_ranges(note, tf.constant(4), 4, [[]])
    assert ranges == [(0, 4)]


@pytest.mark.parametrize(("scorer", "hop"), [*((scorer, 1) for scorer in SCORERS), ("knn", 4)])
def test_a_score_in_pieces_is_that_in_one_go(scorer, hop):
    member = make_member("GANomaly", SCORERS[scorer])
    model = dataclasses.replace(member.model, hop=hop)
    function = clip_values.scorer_function(model, member.fitted)
    log_mel = tf.constant(np.random.default_rng(0).normal(-35, 7, [600, 16]), tf.float32)
    (expected,) = clip_values.apply_to_clip(model, [function], log_mel, at_once=None)
    for at_once in (1, 64, 250):
        (found,) = clip_values.clip_function(model, [function], at_once=at_once)(log_mel)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_windows_a_hop_apart_are_scored():
    """The mean score of the windows at 0, 4, 8 ... of 11 spectra, by hand."""
    member = make_member("GANomaly", SCORERS["paper"])
    model = dataclasses.replace(member.model, hop=4)
    log_mel = np.random.default_rng(0).normal(-35, 7, [11, 16]).astype(np.float32)
    standardised = model.normalizer(log_mel).numpy()
    windows = np.stack([standardised[start : start + 3].ravel() for start in (0, 4, 8)])
    (score,) = clip_values.clip_function(model, [clip_values.scorer_function(model, member.fitted)])(log_mel)
    assert float(score) == pytest.approx(float(np.mean(model.detector.anomaly_score(windows))), rel=1e-5)


def test_bands_are_sorted_some_at_a_time_where_there_are_many_windows():
    member = make_member("SpectrumDensity", SCORERS["knn"])
    function = clip_values.residual_function(member.model, member.fitted.settings)
    n_windows = pieces.ELEMENTS // 5  # five bands of sixteen at a time
    log_mel = tf.constant(np.random.default_rng(0).normal(-35, 7, [n_windows + 2, 16]), tf.float32)
    (expected,) = clip_values.apply_to_clip(member.model, [function], log_mel, at_once=None)
    (found,) = clip_values.clip_function(member.model, [function])(log_mel)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_an_exported_graph_scores_and_explains_long_clips_as_the_live_detector():
    """Of several pieces each: 60 s have 7 500 spectra of 256 samples."""
    member = make_member("DenseAE", SCORERS["knn"])
    config = config_of()
    waveform = np.tile(CLIPS[2], 60)
    layer = LogMel(n_fft=256, hop_length=128, n_mels=16)
    assert len(waveform) > 3 * pieces.ELEMENTS // 256 * 128
    log_mel = layer(waveform[np.newaxis])[0]
    function = clip_values.scorer_function(member.model, member.fitted)
    (expected,) = clip_values.apply_to_clip(member.model, [function], log_mel, at_once=None)
    functions = SoundScorer(config, [member], threshold=0.0, longest_samples=len(waveform)).functions
    outputs = functions["score_waveform"](tf.constant(waveform[np.newaxis]))
    np.testing.assert_allclose(outputs["anomaly_score"], [expected], rtol=1e-6)
    seen = functions["explain"](tf.constant(waveform[np.newaxis]))
    assert seen["reconstruction"].shape == seen["log_mel"].shape == (1, *log_mel.shape)
    np.testing.assert_allclose(seen["log_mel"][0], log_mel, rtol=1e-6)


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """An artifact for clips of up to 1.5 s, and its member."""
    place = tmp_path_factory.mktemp("limited") / "1"
    member = make_member("DenseAE", SCORERS["paper"])
    graph = SoundScorer(config_of(), [member], threshold=0.0, longest_samples=24000)
    signatures = {name: function.get_concrete_function() for name, function in graph.functions.items()}
    with tensorflow_errors.as_oserror():
        tf.saved_model.save(tf.Module(), str(place), signatures)
    config = {"audio": dataclasses.asdict(config_of().audio)}
    sizes = {"sample_rate_hz": SAMPLE_RATE, "fewest_samples": 1024, "longest_samples": 24000}
    (place / "assets.extra").mkdir()
    (place / "assets.extra/ganad.json").write_text(json.dumps({"config": config, "input": sizes}))
    return Artifact(place)


TOO_LONG = np.zeros([1, 24001], np.float32)


@pytest.mark.parametrize(
    ("signature", "inputs", "sentence"),
    [
        ("score_waveform", {"waveform": TOO_LONG}, "^waveform: expected clips of at most 1.5 s, received 1.50006"),
        ("explain", {"waveform": np.full([1, 48000], np.nan, np.float32)}, "^waveform: .* at most 1.5 s, received 3 s"),
        (
            "score_frames",
            {"log_mel": np.full([1, 376, 16], -40, np.float32)},
            "^log_mel: .* at most 1.5 s, received 3 s",
        ),
        (
            "score_wav",
            {"wav_bytes": np.array([wav.encode(each, SAMPLE_RATE) for each in (CLIPS[0], TOO_LONG[0])], dtype=object)},
            r"^wav_bytes\[1\]: expected clips of at most 1.5 s, received 1.50006",
        ),
    ],
)
def test_too_long_clips_are_refused_by_every_signature(limited, signature, inputs, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        limited(signature, inputs)
    assert "\n" not in str(caught.value)


def test_the_graph_itself_refuses_files_before_and_after_decoding_them(limited):
    """As TensorFlow Serving runs it, which knows nothing of `ganad.json`."""
    score = tf.saved_model.load(str(limited.directory)).signatures["score_wav"]
    eight = np.zeros([24000, 8], np.float32)
    score(wav_bytes=tf.constant([wav.encode(eight, SAMPLE_RATE)]))  # of many channels, but not long
    hour = wav.encode(np.zeros(3600 * SAMPLE_RATE, np.float32), SAMPLE_RATE)
    cut = hour[: len(hour) // 2]  # its decoder would say that it is cut off
    for file in (wav.encode(TOO_LONG[0], SAMPLE_RATE), cut):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"wav_bytes: expected clips of at most 1\.5 s"):
            score(wav_bytes=tf.constant([file]))


def test_a_file_that_is_too_long_is_named_and_not_read(limited, tmp_path):
    long = write_wav(tmp_path / "long.wav", np.zeros(48000, np.float32))
    compressed = tmp_path / "long.flac"
    soundfile.write(compressed, np.zeros(48000, np.float32), SAMPLE_RATE)
    good = write_wav(tmp_path / "good.wav", CLIPS[0])
    found = list(local.predict(limited.directory, [long, good, compressed]))
    for path, said in zip((long, compressed), (found[0], found[2]), strict=True):
        assert str(said).startswith(f"{path}: expected a clip of at most 1.5 s, received 3 s")
    assert found[1].file == str(good)


@pytest.mark.slow
def test_export_sets_the_limit(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    write_machine(tmp_path / "dev", ids=("00",))
    (tmp_path / "fan.yaml").write_text(
        "dev_directory: ./dev\nfeature: {n_mels: 16, frames: 3}\nmodel: {name: SpectrumDensity}\nfit: {epochs: 1}\n"
    )
    assert main.main(["run", "fan.yaml", "-q"]) == 0
    capsys.readouterr()
    for wrong in ("0.01", "1e9"):
        assert main.main(["export", "fan.yaml", "--longest", wrong]) == 2
        assert "Expected --longest of at least 0.064 s" in capsys.readouterr().err
    assert main.main(["export", "fan.yaml", "--longest", "3", "--format", "litert"]) == 2
    assert "Expected --longest without --format" in capsys.readouterr().err
    assert main.main(["export", "fan.yaml", "--longest", "0.75"]) == 0
    folder = tmp_path / capsys.readouterr().out.strip()
    assert json.loads((folder / "assets.extra/ganad.json").read_text())["input"]["longest_samples"] == 12000
    assert "longer than 0.75 s" in caplog.text
    clip = next((tmp_path / "dev/fan/test").iterdir())
    assert main.main(["predict", str(folder), str(clip)]) == 2
    assert f"{clip}: expected a clip of at most 0.75 s, received 1 s" in capsys.readouterr().err


def test_headers_tell_what_is_long(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(2))
    assert lengths.seconds(path) == 2
    assert lengths.may_be_long(path, path.stat().st_size, 31999)
    assert not lengths.may_be_long(path, path.stat().st_size, 32000)
    silence = tmp_path / "b.flac"  # of few bytes
    soundfile.write(silence, np.zeros(32000), SAMPLE_RATE)
    assert lengths.may_be_long(silence, silence.stat().st_size, 31999)
    other = tmp_path / "no.flac"
    other.write_text("no recording")
    assert lengths.may_be_long(other, 12, 10**9)
    assert lengths.seconds(other) is None


@pytest.mark.parametrize("n", [10, memory.LARGE])
def test_arrays_become_tensors_of_the_same_values(n):
    array = np.random.default_rng(0).normal(size=n).astype(np.float32)
    np.testing.assert_array_equal(memory.as_tensor(array), array)
    np.testing.assert_array_equal(memory.as_tensor(array[1:]), array[1:])
    array.flags.writeable = False
    np.testing.assert_array_equal(memory.as_tensor(array.reshape(2, -1)), array.reshape(2, -1))


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM")])
def test_a_shortage_of_memory_is_a_sentence_that_names_the_file(tmp_path, error):
    with (
        pytest.raises(MemoryShortageError, match=r"a\.wav: expected enough memory"),
        memory.enough_for(tmp_path / "a.wav"),
    ):
        raise error


def test_recordings_lie_where_tensorflow_takes_them_as_they_are(tmp_path):
    samples = read(write_wav(tmp_path / "a.wav", tone(100)), Audio())
    tensor = memory.as_tensor(samples)
    assert np.shares_memory(np.from_dlpack(tensor), samples)


SECONDS = 900
MOST_MB = 1100  # an hour is allowed 1 500; three quarters of what goes with the length are not here


@pytest.mark.slow
def test_memory_for_long_clips_is_bounded(tmp_path):
    """A quarter of an hour each; the whole process, some 750 MB of which are TensorFlow's, with many threads."""
    place = tmp_path / "long"
    tool = [sys.executable, ROOT / "tools" / "long_clips.py"]
    subprocess.run([*tool, "recordings", place, "2", str(SECONDS // 60)], check=True)
    subprocess.run([*tool, "train", "2", place], check=True, capture_output=True)
    for job in ("prepare", "score", "predict"):
        done = subprocess.run([*tool, job, "8", place], check=True, capture_output=True, text=True)
        assert json.loads(done.stdout)["peak_mb"] < MOST_MB, job


@pytest.mark.slow
def test_prepare_says_of_which_file_memory_was_short(tmp_path):
    """In a process that may have little more than what TensorFlow takes."""
    write_wav(tmp_path / "dev/fan/train/normal_id_00_00000000.wav", np.zeros(1800 * SAMPLE_RATE, np.float32))
    script = (
        "import resource, tensorflow as tf\n"
        "from pathlib import Path\n"
        "from ganad_tf import datasets\n"
        "from ganad_tf.cache.prepare import prepare_cache\n"
        "from ganad_tf.run import MachineRun\n"
        "from ganad_tf.config import Config\n"
        "from ganad_tf.errors import DataError\n"
        "from ganad_tf.features import LogMel\n"
        "LogMel().in_pieces(tf.zeros([16000]))\n"  # all that is imported late
        f"config = Config(dev_directory='{tmp_path}/dev', cache_directory='{tmp_path}/cache')\n"
        "(listing,) = datasets.list_clips(config, 'dev')\n"
        "now = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 120 * 2**20,) * 2)\n"
        "try:\n"
        "    prepare_cache(MachineRun(config, listing, 'dev'), 'train')\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "normal_id_00_00000000.wav: expected enough memory" in done.stdout
