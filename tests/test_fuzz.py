"""Bytes, settings and names of any kind come in, a value or a `GanadError` comes out.

The gate tries a few of each and `-m slow` many; still more: GANAD_FUZZ=20000 pytest tests/test_fuzz.py -m slow
"""

import os
import struct
import tracemalloc
from contextlib import suppress
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from conftest import tone, write_machine, write_wav
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganad_tf import audio, datasets
from ganad_tf import config as configuration
from ganad_tf.cache import manifest, records, windows
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cache.spectra import KeptSpectra
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError, GanadError
from ganad_tf.files.throttle import Throttle
from ganad_tf.results import score_files
from ganad_tf.run import MachineRun
from ganad_tf.scoring import partial_scores
from ganad_tf.training import checkpoint

FEW, MANY = 75, int(os.environ.get("GANAD_FUZZ", "1200"))


@pytest.fixture(params=["few", pytest.param("many", marks=pytest.mark.slow)])
def fuzzed(request):
    """Settings of hypothesis for a share of the inputs, one by default in five."""
    inputs = FEW if request.param == "few" else MANY

    def shared_by(tests: int = 5) -> settings:
        return settings(
            max_examples=inputs // tests + 1,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        )

    return shared_by


ODD_NUMBERS = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


@st.composite
def spoilt(draw, content: bytes, head: int):
    """Some bytes of a sound file are others, gone or more; often in its first `head` bytes."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(min(head, len(data) - 1), 0)) | st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["byte", "number", "cut", "more", "gone"])):
            case "byte":
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":
                data[place : place + 4] = struct.pack("<I", draw(st.sampled_from(ODD_NUMBERS)))
            case "cut":
                del data[place:]
            case "more":
                data[place:place] = draw(st.binary(max_size=20))
            case "gone":
                del data[place : place + draw(st.integers(1, 20))]
    return bytes(data)


def of_format(tmp_path_factory, suffix, subtype):
    path = tmp_path_factory.mktemp("sound") / f"x{suffix}"
    return write_wav(path, tone(seconds=0.2), subtype=subtype).read_bytes()


SOUND_FILES = {
    ".wav": ("PCM_16", "FLOAT"), ".flac": ("PCM_16",), ".aiff": ("PCM_16",), ".w64": ("PCM_16",), ".caf": ("PCM_16",),
    ".au": ("PCM_16",), ".mp3": ("MPEG_LAYER_III",), ".ogg": ("VORBIS",),
}  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "subtype"), [(suffix, subtype) for suffix, subtypes in SOUND_FILES.items() for subtype in subtypes]
)
def test_sound_files(fuzzed, tmp_path, tmp_path_factory, suffix, subtype):
    path = tmp_path / f"x{suffix}"

    @fuzzed(15)
    @given(spoilt(of_format(tmp_path_factory, suffix, subtype), 60) | st.binary(max_size=100))
    def check(content):
        path.write_bytes(content)
        try:
            samples = audio.read(path, Audio(resample=len(content) % 2 == 0))
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert samples.ndim == 1 and len(samples) and np.isfinite(samples).all()

    check()


def header(size=36 + 32, channels=1, rate=16000, bits=16, data=32):
    block = channels * bits // 8 % 2**16
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * block % 2**32, block, bits)
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + chunk + struct.pack("<4sI", b"data", data) + bytes(32)


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 2**32 - 1, "data": 2**32 - 38},
        {"data": 2**32 - 1},
        {"channels": 65535},
        {"channels": 65535, "data": 2**32 - 1, "size": 2**32 - 1},
        {"rate": 0},
        {"rate": 2**32 - 1},
        {"bits": 65535},
        {"channels": 0},
    ],
)
@pytest.mark.parametrize("chosen", [0, "mean"])
def test_what_a_header_claims_allocates_nothing(tmp_path, fields, chosen):
    path = tmp_path / "x.wav"
    path.write_bytes(header(**fields))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="x.wav: expected"):
            audio.read(path, Audio(channel=chosen, resample=True, unknown_length="refuse"))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


KEYS = [
    "dev_directory", "seed", "threshold", "model", "fit", "feature", "frames", "n_mels", "name", "audio", "scorer",
    "machines", "fan", "ensemble", "members", "deterministic", "epochs", "batch_size", "compile", "quantile", "log",
]  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["GANomaly", "gmm", "-1", "x"])
)
SECTIONS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | SCALARS, inner, max_size=4),
    max_leaves=12,
)


def test_configurations(fuzzed, tmp_path):
    path = tmp_path / "x.yaml"
    good = (Path(__file__).parents[1] / "yaml" / "ganomaly.yaml").read_bytes()

    @fuzzed()
    @given(
        st.dictionaries(st.sampled_from(KEYS), SECTIONS, max_size=5).map(lambda each: yaml.safe_dump(each).encode())
        | spoilt(good, len(good))
        | st.text().map(lambda each: each.encode("utf-8", "surrogatepass"))
        | st.sampled_from([b"!!python/object/apply:os.system [exit]", b"a: &x [*x]", b"&a [*a, *a]", b"x: 1\nx: 2"])
    )
    def check(content):
        path.write_bytes(content)
        try:
            config = configuration.load(path)
        except GanadError as error:
            assert str(path) in str(error) or "`" in str(error)
        else:
            assert configuration.from_mapping(configuration.to_dict(config), source="again") == config

    check()


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A small cache and what its clips' log-mels are."""
    folder = tmp_path_factory.mktemp("cached")
    write_machine(folder / "data", "fan", ids=("00",), n_train=3, n_test=1)
    mapping = {"dev_directory": str(folder / "data"), "cache_directory": str(folder / "cache")}
    config = configuration.from_mapping(mapping, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    prepare_cache(MachineRun(config, listing, "dev"), "train")
    return config, listing


def test_shards(fuzzed, cached):
    """Read as they are, by a process that has looked at the checksum before they changed."""
    config, listing = cached
    entries = Cache(MachineRun(config, listing, "dev"), "train").current().entries
    cache = Path(config.cache_directory, "dev", "fan", "train")
    shard = cache / entries[0].shard
    good = shard.read_bytes()
    expected = {entry.clip: log_mel for entry, log_mel in records.read(cache, entries)}

    def framed(payloads):
        with tf.io.TFRecordWriter(os.fspath(shard)) as writer:
            for payload in payloads:
                writer.write(payload)
        return shard.read_bytes()

    source = windows.Source(KeptSpectra(cache), entries, 128, 5, None)
    streamed = windows.window_batches(source, batch_size=64, seed=0, memory_budget_mb=0)
    expected_firsts = np.sort(np.concatenate([log_mel[:-4, 0] for log_mel in expected.values()]))
    valid = [record.numpy() for record in tf.data.TFRecordDataset(os.fspath(shard))]

    @fuzzed(12)
    @given(
        spoilt(good, 60)
        | st.binary(max_size=100)
        | st.lists(st.binary(max_size=60) | spoilt(valid[0], 80) | st.sampled_from(valid), max_size=4).map(framed)
    )
    def check(content):
        shard.write_bytes(content)
        try:
            found = {entry.clip: log_mel for entry, log_mel in records.read(cache, entries)}
        except DataError as error:
            assert "Run `ganad prepare`" in str(error)
        else:
            assert found.keys() == expected.keys()
            for clip, log_mel in found.items():
                np.testing.assert_array_equal(log_mel, expected[clip])
        with suppress(tf.errors.OpError):  # in training, one that the cache's checksums explain
            firsts = np.sort(np.concatenate([batch[:, 0] for batch in streamed]))
            np.testing.assert_array_equal(firsts, expected_firsts)

    try:
        check()
    finally:
        shard.write_bytes(good)


def test_manifests(fuzzed, cached, tmp_path):
    config, _ = cached
    good = (Path(config.cache_directory, "dev", "fan", "train") / manifest.FILE).read_bytes()

    @fuzzed()
    @given(spoilt(good, len(good)) | SECTIONS.map(lambda each: repr(each).encode("utf-8", "replace")))
    def check(content):
        (tmp_path / manifest.FILE).write_bytes(content)
        try:
            manifest.load(tmp_path)
        except DataError as error:
            assert "corrupted" in str(error)

    check()


def test_unfinished_trainings_and_scorings(fuzzed, tmp_path, monkeypatch):
    """Each goes on from what it was, or begins again."""
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))  # written at once
    training, scoring = tmp_path / "fan.unfinished.npz", tmp_path / "fan.json"
    written = checkpoint.Checkpoint(training, {"seed": 0})
    written.set_model(keras.Sequential([keras.Input([2]), keras.layers.Dense(2)]))
    written.model.compile(loss="mse")
    written.on_epoch_end(2, {"loss": 0.5})
    partial_scores.PartialScores(scoring, {"seed": 0}, max_share_of_time=1e9).add("a.wav", [0.5, 1.5])
    good = training.read_bytes(), scoring.read_bytes()

    @fuzzed()
    @given(spoilt(good[0], len(good[0])), spoilt(good[1], len(good[1])))
    def check(training_content, scoring_content):
        training.write_bytes(training_content)
        scoring.write_bytes(scoring_content)
        found = checkpoint.Checkpoint(training, {"seed": 0})
        with suppress(GanadError):  # of other settings
            found.read()
        assert (found.epoch, found.history) in ((0, {}), (3, {"loss": [0.5]}))
        assert checkpoint.epochs_kept(training.with_name("fan")) in (0, 3)
        again = partial_scores.PartialScores(scoring, {"seed": 0})
        again.read()
        assert again.scores in ({}, {"a.wav": [0.5, 1.5]})

    check()


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=30)
LIKELY = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["normal", "anomaly", "Normal", ""]),
        st.sampled_from(["_id_", "_id", "__", "_section_"]),
        st.sampled_from(["00", "007", "-1", "0x1", "..", "\n", "é", '"', ","]),
        st.sampled_from(["_00000000", "_", "", "_\u202e", "_%s", "_{x}"]),
        st.sampled_from([".wav", ".WAV", ".flac", ".mp3", "", ".wav.wav", ".txt"]),
    ),
)


@pytest.mark.parametrize("layout", ["dcase2020", "folder"])
def test_names(fuzzed, tmp_path, layout):
    numbers = iter(range(10**9))

    @fuzzed(10)
    @given(st.lists(LIKELY | NAMES, min_size=1, max_size=4), NAMES | st.sampled_from(["fan", "..", "a b", "-x"]))
    def check(names, machine):
        root = tmp_path / str(next(numbers))
        sub = "train" if layout == "dcase2020" else "normal"
        for name in names:
            path = root / machine / sub / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_bytes(b"")
            except OSError:  # not a name for a file here
                return
        mapping = {"dev_directory": str(root), "dataset": {"name": layout}}
        try:
            listings = datasets.list_clips(configuration.from_mapping(mapping, source="test"), "dev")
        except GanadError:
            return
        for listing in listings:
            files = [clip.file for clip in listing.clips]
            assert len(set(files)) == len(files)
            assert all((listing.directory / file).is_file() for file in files)
            scores = [score_files.ClipScore(clip.name, 0.5) for clip in listing.clips]
            score_files.write_scores(root / "scores.csv", scores)
            assert list(score_files.read_scores(root / "scores.csv")) == scores

    check()
