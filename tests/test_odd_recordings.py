"""Every odd recording gets one score, the same everywhere, or one refusal, the same everywhere."""

import csv
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, tone, write_wav
from odd_recordings import DATA, PLAIN, SAME, WHOLE, cases, data, fmt, wav, written
from serving_process import ServingProcess

from ganad_tf import audio
from ganad_tf.audio import reader
from ganad_tf.cli import main
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError, InputError
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models import wav as wav_files
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.audio_format import AudioFormat
from ganad_tf.serving.predict import client, grpc_client, http_client, local

CASES = cases()
OPEN_CASES = sorted(name for name in CASES if re.search("open|pipe", name) and "cut" not in name)
FINGERPRINT = "0bb5eeb23fe769d3"  # of the default settings, before there was `audio.unknown_length`
CONFIG = """
dev_directory: ./machine
dataset: {name: folder}
model: {name: SpectrumDensity}
fit: {epochs: 1}
threshold: {quantile: 0.9}
recording_check: {enabled: false}
on_bad_clip: skip
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A detector trained on a few tones, exported twice, with every odd recording among its test clips."""
    folder = tmp_path_factory.mktemp("odd")
    for number in range(6):
        write_wav(folder / f"machine/normal/{number}.wav", tone(2, seed=number))
    (folder / "machine/anomaly").mkdir()
    for name, case in CASES.items():
        (folder / "machine/anomaly" / name).write_bytes(case.content)
    (folder / "odd.yaml").write_text(CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main.main(["run", "odd.yaml", "-q"]) == 0
        assert main.main(["export", "odd.yaml", "--name", "odd", "-q"]) == 0
    return folder


@pytest.fixture(scope="module")
def in_process(project) -> dict[str, float | str]:
    """By file name: the score, or the refusal without the file's path."""
    return _said(local.predict(project / "exported_models/odd", _paths(project)))


@pytest.fixture(scope="module")
def server(project) -> Iterator[ServingProcess]:
    running = ServingProcess(project / "exported_models")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def by_url(project, server) -> dict[str, float | str]:
    ask = http_client.connect(f"http://127.0.0.1:{server.port}/v1/models/odd")
    return _said(client.predict(ask, _paths(project)))


@pytest.fixture(scope="module")
def by_grpc(project, server) -> dict[str, float | str]:
    ask = grpc_client.connect(f"grpc://127.0.0.1:{server.grpc_port}/odd")
    return _said(client.predict(ask, _paths(project)))


@pytest.fixture(scope="module")
def prepared(project) -> dict[str, float | str]:
    """Scores in the files of `ganad run` and refusals in the cache's manifest, by recording."""
    with (project / "result/anomaly_score_machine_id_00.csv").open(newline="") as stream:
        said: dict[str, float | str] = {Path(name).name: float(score) for name, score in csv.reader(stream)}
    manifest = json.loads((project / "cache/dev/machine/test/manifest.json").read_text())
    for skipped in next(value for value in manifest.values() if isinstance(value, dict))["skipped"]:
        said[Path(skipped["file"]).name] = skipped["reason"].partition(": ")[2]
    return said


def _paths(project: Path) -> list[Path]:
    return [project / "machine/anomaly" / name for name in CASES]


def _said(predictions) -> dict[str, float | str]:
    result: dict[str, float | str] = {}
    for name, prediction in zip(CASES, predictions, strict=True):
        if isinstance(prediction, DataError):
            path, _, reason = str(prediction).partition(": ")
            assert path.endswith(name), prediction
            result[name] = reason
        else:
            result[name] = prediction.anomaly_score
    return result


@pytest.mark.parametrize("name", CASES)
def test_a_recording_gets_its_score_or_its_refusal(in_process, name):
    expected, said = CASES[name].expected, in_process[name]
    if expected == PLAIN:
        assert said == pytest.approx(in_process["plain.wav"], rel=1e-6)
    elif expected == SAME:
        assert isinstance(said, float)
        assert said != pytest.approx(in_process["plain.wav"], rel=1e-6)
    else:
        assert isinstance(said, str), said
        assert re.search(expected, said)
        assert said.endswith(".")
        assert "\n" not in said


@pytest.mark.parametrize("name", CASES)
def test_it_gets_the_same_from_a_server(in_process, by_url, name):
    assert by_url[name] == (
        pytest.approx(in_process[name], rel=1e-6) if isinstance(in_process[name], float) else in_process[name]
    )


@pytest.mark.parametrize("name", CASES)
def test_it_gets_the_same_in_training(in_process, prepared, name):
    if isinstance(in_process[name], str):
        assert prepared[name].replace(reader.SAMPLE_RATE_REMEDY, "convert it.") == in_process[name]
    else:
        assert prepared[name] == pytest.approx(in_process[name], rel=1e-4)  # as far as any export and its detector


def test_in_training_all_that_are_whole_have_the_score_of_plain(prepared):
    for name, case in CASES.items():
        if case.expected == PLAIN:
            assert prepared[name] == pytest.approx(prepared["plain.wav"], rel=1e-6), name


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.expected == SAME])
def test_a_lossy_recording_keeps_its_length(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(CASES[name].content)
    longest_block = 1100  # samples by which codecs fill up their last block
    assert len(WHOLE) <= len(audio.read(path, Audio())) <= len(WHOLE) + longest_block


WAVES = [
    name
    for name, case in CASES.items()
    if name.endswith(".wav") and case.content[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64")
]


@pytest.mark.parametrize("name", WAVES)
def test_what_a_server_takes_as_it_is_is_whole_by_the_same_rules(tmp_path, name):
    case = CASES[name]
    path = tmp_path / name
    path.write_bytes(case.content)
    try:
        plain = wav_files.to_canonical(case.content, "wav_bytes[0]")
    except InputError as error:
        if "16-bit PCM" not in str(error):
            with pytest.raises(DataError, match=re.escape(str(error).removeprefix("wav_bytes[0]: "))):
                audio.read(path, Audio())
        return
    samples, rate = soundfile.read(io.BytesIO(plain), dtype="float32", always_2d=True)
    try:
        np.testing.assert_array_equal(samples[:, 0], audio.read(path, Audio(sample_rate=rate)))
    except DataError as error:
        assert "no samples" in str(error)
        assert not len(samples)


@pytest.mark.parametrize("name", OPEN_CASES)
def test_a_length_that_is_left_open_can_be_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(CASES[name].content)
    with pytest.raises(DataError, match=r"leaves the length open.*audio\.unknown_length: read"):
        audio.read(path, Audio(unknown_length="refuse"))
    if name.endswith(".wav"):
        with pytest.raises(InputError, match="leaves the length open"):
            wav_files.to_canonical(CASES[name].content, "wav_bytes[0]", "refuse")


def test_the_cases_of_open_length_are_some():
    assert len(OPEN_CASES) >= 10


def test_caches_and_detectors_of_before_are_those_of_now():
    assert Config().feature_fingerprint() == FINGERPRINT
    assert "audio.unknown_length" not in Config().training_settings()
    refusing = Config(audio=Audio(unknown_length="refuse"))
    assert refusing.feature_fingerprint() != FINGERPRINT
    assert refusing.training_settings()["audio.unknown_length"] == "refuse"


@pytest.mark.parametrize(
    "settings",
    [Audio(), Audio(22050, "mean", True, "refuse", 10.0, 2.5), Audio(48000, 7)],
)
def test_a_model_tells_clients_how_its_clips_are_read(settings):
    wanted = AudioFormat(settings, 2048, None if settings == Audio() else 9_600_000)

    def ask(signature, inputs):
        assert (signature, list(inputs)) == ("audio_format", ["request"])
        return {name: [value] for name, value in wanted.as_numbers().items()}

    assert audio_format.fetch(ask) == wanted


def test_an_exported_model_says_it_for_every_entry(project):
    outputs = Artifact(project / "exported_models/odd")("audio_format", {"request": np.zeros(3, np.float32)})
    assert {name: values.tolist() for name, values in outputs.items()} == {
        "sample_rate_hz": [SAMPLE_RATE] * 3,
        "channel": [0] * 3,
        "resample": [False] * 3,
        "reads_unknown_length": [True] * 3,
        "clip_seconds": [0] * 3,
        "clip_hop_seconds": [0] * 3,
        "fewest_samples": [2048] * 3,
        "longest_samples": [600 * SAMPLE_RATE] * 3,
    }


def test_too_long_a_recording_is_refused_before_it_is_decoded(tmp_path):
    path = write_wav(tmp_path / "long.wav", tone(2.5))
    for rate in (SAMPLE_RATE, 8000):
        wanted = AudioFormat(Audio(rate, resample=True), 2048, 2 * rate)
        with pytest.raises(DataError, match=r"long\.wav: expected a clip of at most 2 s, received 2\.5 s; cut it"):
            audio_format.read_request(path, wanted)
    assert audio_format.read_request(path, AudioFormat(Audio(), 2048, 40_000))


def test_a_client_resamples_and_mixes_as_the_model_was_trained(tmp_path):
    path = write_wav(tmp_path / "cd.wav", np.stack([tone(), tone(seed=1)], axis=1), rate=44100)
    settings = Audio(channel="mean", resample=True)
    signature, inputs = audio_format.read_request(path, AudioFormat(settings, 2048))
    assert signature == "score_waveform"
    np.testing.assert_array_equal(inputs["waveform"], audio.read(path, settings)[np.newaxis])


def test_a_client_sends_16_bits_where_they_hold_every_digit(tmp_path):
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        path = write_wav(tmp_path / f"{subtype}.wav", WHOLE / 32768, subtype=subtype)
        signature, inputs = audio_format.read_request(path, AudioFormat(Audio(), 2048))
        assert signature == "score_wav"
        assert soundfile.read(io.BytesIO(inputs["wav_bytes"][0]), dtype="int16")[0].tobytes() == DATA
    path = write_wav(tmp_path / "finer.wav", WHOLE / 65536, subtype="PCM_24")
    assert audio_format.read_request(path, AudioFormat(Audio(), 2048))[0] == "score_waveform"


def test_a_model_exported_before_is_to_be_exported_again():
    def ask(signature, _):
        raise DataError(
            f"http://host answered 400: signature_name: expected one of score_wav. Received: {signature!r}."
        )

    with pytest.raises(DataError, match="no signature `audio_format`.*export it again"):
        next(client.predict(ask, [Path("clip.wav")]))


def test_a_file_without_permission_is_named():
    folder = Path(tempfile.mkdtemp())  # pytest's own is closed to others
    try:
        folder.chmod(0o755)
        path = write_wav(folder / "closed.wav", tone())
        path.chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(DataError, match=r"closed\.wav: expected an .*Received: Permission denied\.$"):
                audio.read(path, Audio())
        finally:
            if is_root:
                os.seteuid(0)
    finally:
        shutil.rmtree(folder)


def test_a_raw_file_is_no_recording(tmp_path):
    path = tmp_path / "samples.raw"
    path.write_bytes(DATA)
    with pytest.raises(DataError, match=r"samples\.raw: expected an audio file that can be read"):
        audio.read(path, Audio())


def test_headers_that_never_end_are_given_up(tmp_path):
    path = tmp_path / "chunks.wav"
    path.write_bytes(wav(*[b"JUNK\0\0\0\0"] * 20_000, fmt(), data()))
    with pytest.raises(DataError, match="no `data` chunk"):
        audio.read(path, Audio())


def test_a_long_recording_is_read_in_blocks_with_the_same_samples(tmp_path, monkeypatch):
    for form, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "GSM610")):
        path = tmp_path / f"{subtype}.{form.lower()}"
        path.write_bytes(written(form, subtype))
        monkeypatch.setattr(reader, "BLOCK", 2**21)
        whole = audio.read(path, Audio())
        monkeypatch.setattr(reader, "BLOCK", 999)
        np.testing.assert_array_equal(audio.read(path, Audio()), whole)
