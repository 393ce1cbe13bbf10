"""Recordings of minutes: cut into clips where they lie, each with the samples of its span, and judged clip by clip."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, tone, write_wav

from ganad_tf import audio, datasets
from ganad_tf import config as configuration
from ganad_tf.audio import lengths
from ganad_tf.clips import Clip, split_span
from ganad_tf.config.sections import Audio
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results.score_files import ClipScore, write_recordings
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.audio_format import AudioFormat
from ganad_tf.serving.predict import client


def listed(folder: Path, **settings: object) -> list[Clip]:
    mapping = {"dataset": {"name": "folder"}, "dev_directory": str(folder), "audio": settings}
    return list(datasets.list_clips(configuration.from_mapping(mapping, source="test"), "dev")[0].clips)


def test_the_last_clip_ends_where_the_recording_does():
    ten = Audio(clip_seconds=10)
    assert lengths.spans(10, ten) == []
    assert lengths.spans(30, ten) == [(0, 10), (10, 20), (20, 30)]
    assert lengths.spans(32.5, ten) == [(0, 10), (10, 20), (20, 30), (22.5, 32.5)]
    assert lengths.spans(20, Audio(clip_seconds=10, clip_hop_seconds=5)) == [(0, 10), (5, 15), (10, 20)]
    assert lengths.spans(0.3, Audio(clip_seconds=0.1)) == [(0, 0.1), (0.1, 0.2), (0.2, 0.3)]  # 0.3 is not 3 * 0.1


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *[("a.wav", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM")],
        ("a.flac", "PCM_16"),
        ("a.ogg", "VORBIS"),
        ("a.mp3", None),
        ("a.aiff", "PCM_16"),
    ],
)
def test_a_clip_has_the_samples_of_its_span(tmp_path, name, subtype):
    soundfile.write(tmp_path / name, np.stack([tone(3, seed=1), tone(3, seed=2)], axis=1), SAMPLE_RATE, subtype)
    read_at_once, _ = soundfile.read(tmp_path / name, dtype="float32")
    whole = audio.read(tmp_path / name, Audio(channel=1))
    np.testing.assert_allclose(whole, read_at_once[:, 1], atol=1e-7)
    for begin, end in ((0, 1), (0.7, 1.7), (2, 3)):
        part = audio.read(tmp_path / name, Audio(channel=1), span=(begin, end))
        np.testing.assert_array_equal(part, whole[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)])


def test_a_clip_beyond_the_end_and_a_damaged_part_are_errors(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone(1))
    with pytest.raises(DataError, match="a part of, but it ends at 1 s"):
        audio.read(path, Audio(), span=(1, 2))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut off"):
        audio.read(path, Audio(), span=(0, 0.5))


def test_clips_of_a_recording_stay_on_one_side_of_every_split(tmp_path):
    for number in range(5):
        write_wav(tmp_path / f"pump/normal/{number}.wav", tone(1.5 if number else 0.5, seed=number))
    clips = listed(tmp_path, clip_seconds=0.5)
    assert [clip.name for clip in clips][:4] == [
        "normal/0.wav",  # as long as a clip
        "normal/1.wav#0-0.5s",
        "normal/1.wav#0.5-1s",
        "normal/1.wav#1-1.5s",
    ]
    assert len(clips) == 1 + 4 * 3
    splits = {}
    for clip in clips:
        splits.setdefault(clip.recording, set()).add(clip.split)
    assert len(splits) == 5
    assert {len(found) for found in splits.values()} == {1}


def test_channels_are_cut_too(tmp_path):
    write_wav(tmp_path / "pump/normal/a.wav", np.stack([tone(1), tone(1)], axis=1))
    names = [clip.name for clip in listed(tmp_path, clip_seconds=0.5, channel="all")]
    assert names == [f"normal/a.wav#ch{channel}#{span}s" for channel in (0, 1) for span in ("0-0.5", "0.5-1")]
    assert split_span(names[1]) == ("normal/a.wav#ch0", (0.5, 1.0))


def test_a_recording_s_score_is_the_highest_of_its_clips(tmp_path):
    scores = [ClipScore("a.wav#0-10s", 1.0), ClipScore("a.wav#10-20s", 4.0), ClipScore("b.wav", 2.0)]
    write_recordings(tmp_path / "recordings.csv", scores, 3.0, ["a.wav#20-30s", "c.wav#0-10s"])
    assert list(csv.reader((tmp_path / "recordings.csv").read_text().splitlines()))[1:] == [
        ["a.wav", "4.0", "10", "2.5", "2", "1", "1"],
        ["b.wav", "2.0", "0", "2.0", "1", "0", "0"],
        ["c.wav", "", "", "", "0", "", "1"],
    ]
    write_recordings(tmp_path / "whole.csv", scores[2:], threshold=3.0)
    assert not (tmp_path / "whole.csv").exists()


def test_clips_of_equal_duration_have_equally_many_samples(tmp_path):
    """Models for small boards take no other number."""
    write_wav(tmp_path / "a.wav", tone(2.2, seed=0)[: round(2.2 * 11025)], rate=11025)
    settings = Audio(sample_rate=11025, clip_seconds=1, clip_hop_seconds=0.3)
    spans = lengths.spans(2.2, settings)
    assert len(spans) == 5
    assert {len(audio.read(tmp_path / "a.wav", settings, span=span)) for span in spans} == {11025}


def test_a_server_s_client_cuts_as_the_model_was_trained(tmp_path):
    write_wav(tmp_path / "a.wav", np.arange(40000, dtype=np.int16))
    clip_format, sent = AudioFormat(Audio(clip_seconds=1), 2048), []

    def ask(signature, inputs):
        if signature == "audio_format":
            return {name: [value] for name, value in clip_format.as_numbers().items()}
        sent.append(wav.seconds(inputs["wav_bytes"][0]))
        return {"anomaly_score": [1.0], "is_anomaly": [False], "threshold": [2.0]}

    found = list(client.predict(ask, [tmp_path / "a.wav", tmp_path / "none.wav"]))
    assert [row.file for row in found[:3]] == [f"{tmp_path}/a.wav#{span}s" for span in ("0-1", "1-2", "1.5-2.5")]
    assert sent == [1.0] * 3
    assert "none.wav: expected an audio file, but it does not exist" in str(found[3])


def test_members_of_an_ensemble_judge_the_same_clips():
    members = [{"name": "a", "model": {"name": "DenseAE"}}, {"name": "b", "audio": {"clip_seconds": 5}}]
    with pytest.raises(ConfigError, match="for the whole ensemble.* Received: other ones for the member b"):
        configuration.from_mapping({"ensemble": {"members": members}}, source="test")


@pytest.mark.parametrize(
    "settings", [{"clip_seconds": 0}, {"clip_seconds": 10, "clip_hop_seconds": 11}, {"clip_hop_seconds": 1}]
)
def test_lengths_that_skip_something_are_refused(settings):
    with pytest.raises(ConfigError, match=r"audio\.clip_(hop_)?seconds"):
        configuration.from_mapping({"audio": settings}, source="test")


SYSTEM = """
dataset: {name: folder}
dev_directory: ./data
cache_directory: ./cache
model_directory: ./model
result_directory: ./result
audio: {clip_seconds: 1}
model: {name: SpectrumDensity}
scorer: {name: density, density: mahalanobis}
"""


@pytest.mark.slow
def test_long_recordings_are_trained_on_and_judged_clip_by_clip(ganad, tmp_path):
    """Through the command line, and by the exported model."""
    for number in range(8):
        write_wav(tmp_path / f"data/pump/normal/{number}.wav", tone(4.5, seed=number))
    loud = tone(4.5, seed=9)
    loud[3 * SAMPLE_RATE : 4 * SAMPLE_RATE] += 0.02 * np.sign(np.sin(np.arange(SAMPLE_RATE)))
    write_wav(tmp_path / "data/pump/anomaly/bad.wav", loud)
    (tmp_path / "system.yaml").write_text(SYSTEM)
    ganad("run", "system.yaml", "--dev", cwd=tmp_path)
    rows = {
        row["recording"]: row
        for row in csv.DictReader(next(tmp_path.glob("result/recording_score_*")).read_text().splitlines())
    }
    bad = rows["anomaly/bad.wav"]
    assert (bad["clips"], bad["highest_at_seconds"]) == ("5", "3")
    assert float(bad["highest_score"]) > max(float(row["highest_score"]) for name, row in rows.items() if row != bad)
    ganad("export", "system.yaml", "--dev", cwd=tmp_path)
    model = next(tmp_path.glob("exported_models/*/1"))
    found = json.loads(ganad("predict", model, "data/pump/anomaly", "--json", cwd=tmp_path).stdout)
    assert [Path(row["file"]).name for row in found] == [
        f"bad.wav#{span}s" for span in ("0-1", "1-2", "2-3", "3-4", "3.5-4.5")
    ]
    scores = {
        name: float(score)
        for name, score in csv.reader(next(tmp_path.glob("result/anomaly_score_*")).read_text().splitlines())
    }
    for row in found:
        assert row["anomaly_score"] == pytest.approx(scores[f"anomaly/{Path(row['file']).name}"], rel=1e-4)


DOMAINS = """
dataset: {name: dcase2023}
dev_directory: ./data
cache_directory: ./cache
model_directory: ./model
result_directory: ./result
audio: {clip_seconds: 1}
augmentation: {waveform: {copies: 1, gain_db: 3}}
feature: {n_mels: 32}
model: {name: SpectrumDensity}
scorer: {name: density, density: mahalanobis, domains: minimum}
"""


@pytest.fixture
def two_domains(tmp_path):
    """Recordings of 2.5 s with names of 2023, and a configuration that cuts them into clips of 1 s."""
    for number in range(12):
        domain = "target" if number >= 9 else "source"
        name = f"section_00_{domain}_train_normal_{number:04d}_noAttribute.wav"
        write_wav(tmp_path / "data/fan/train" / name, tone(2.5, seed=number))
    for label in ("normal", "anomaly"):
        for domain in ("source", "target"):
            loud = tone(2.5, seed=number)
            loud[: SAMPLE_RATE // 2] *= 1 if label == "normal" else 20
            write_wav(tmp_path / f"data/fan/test/section_00_{domain}_test_{label}_0000_noAttribute.wav", loud)
    (tmp_path / "system.yaml").write_text(DOMAINS)
    return tmp_path


def test_what_has_no_official_score_is_said_before_the_training(ganad, two_domains):
    refused = ganad("run", "system.yaml", "--dev", cwd=two_domains, check=2)
    assert "Expected one test clip of each file for the official scores of `dataset.name: dcase2023`" in refused.stderr
    assert not (two_domains / "cache").exists()


@pytest.mark.slow
def test_clips_of_long_recordings_have_domains_copies_and_scores_on_a_small_board(ganad, two_domains):
    for verb in ("prepare", "train", "score"):
        ganad(verb, "system.yaml", "--dev", cwd=two_domains)
    (copies,) = (json.loads(path.read_text()) for path in two_domains.glob("cache/dev/fan/augmented-*/manifest.json"))
    assert len(copies["manifest"]["entries"]) == 12 * 3
    (file,) = two_domains.glob("result/anomaly_score_*.csv")
    scores = dict(csv.reader(file.read_text().splitlines()))
    assert len(scores) == 4 * 3
    highest = {
        row["recording"]: row["highest_at_seconds"]
        for row in csv.DictReader(next(two_domains.glob("result/recording_score_*")).read_text().splitlines())
    }
    assert {at for name, at in highest.items() if "anomaly" in name} == {"0"}
    ganad("export", "system.yaml", "--dev", "--format", "litert", cwd=two_domains)
    (model,) = two_domains.glob("exported_models/*.litert")
    found = json.loads(ganad("predict", model, "data/fan/test", "--json", cwd=two_domains).stdout)
    assert {Path(row["file"]).name: row["anomaly_score"] for row in found} == {
        name: pytest.approx(float(score), rel=1e-4) for name, score in scores.items()
    }
