import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import tone, write_machine, write_wav
from processes import forked, kill_after
from test_features import librosa_log_mel

from ganad_tf import audio, datasets
from ganad_tf.cache import blocks, manifest, records
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio, Dataset, Feature, FolderData
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.run import MachineRun


@pytest.fixture
def config(tmp_path):
    write_machine(tmp_path / "data", "fan")
    return Config(dev_directory=str(tmp_path / "data"), cache_directory=str(tmp_path / "cache"))


def prepare(config, split="train"):
    (listing,) = datasets.list_clips(config, "dev", ["fan"])
    return prepare_cache(MachineRun(config, listing, "dev"), split)


def current(config, split="train"):
    (listing,) = datasets.list_clips(config, "dev", ["fan"])
    return Cache(MachineRun(config, listing, "dev"), split).current()


def cache_of(config, split="train"):
    return Path(config.cache_directory, "dev", "fan", split)


def files_of(cache):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in cache.iterdir()}


def test_the_cache_holds_the_features_of_every_clip(config):
    done = prepare(config)
    assert (done.n_new, done.n_kept, done.n_dropped, done.skipped) == (12, 0, 0, ())
    found = current(config)
    values = {entry.clip.file: log_mel for entry, log_mel in records.read(cache_of(config), found.entries)}
    assert len(values) == 12
    for file, log_mel in values.items():
        waveform = audio.read(config.data_directory("dev") / file, Audio())
        np.testing.assert_allclose(log_mel, librosa_log_mel(waveform), rtol=0, atol=1e-3)
    stacked = np.concatenate(list(values.values())).astype(np.float64)
    assert found.statistics.n_frames == len(stacked) == 12 * 32
    np.testing.assert_allclose(found.statistics.mean, stacked.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.statistics.std, stacked.std(axis=0), rtol=1e-5)


def test_a_second_prepare_does_nothing(config):
    prepare(config)
    before = files_of(cache_of(config))
    done = prepare(config)
    assert (done.n_new, done.n_kept) == (0, 12)
    assert files_of(cache_of(config)) == before


def test_only_new_and_changed_clips_are_read_again(config):
    prepare(config)
    folder = config.data_directory("dev") / "fan" / "train"
    write_wav(folder / "normal_id_00_00000099.wav", tone(hz=300))
    write_wav(folder / "normal_id_00_00000000.wav", tone(seconds=2))
    (folder / "normal_id_00_00000001.wav").unlink()
    with pytest.raises(DataError, match=r"is stale: 3 clips.*Run `ganad prepare`"):
        current(config)
    done = prepare(config)
    assert (done.n_new, done.n_kept, done.n_dropped) == (2, 10, 2)
    found = current(config)
    frames = {entry.clip.name: entry.frames for entry in found.entries}
    assert frames["normal_id_00_00000000.wav"] == 63
    assert "normal_id_00_00000001.wav" not in frames
    values = dict(records.read(cache_of(config), found.entries))
    assert all(len(log_mel) == entry.frames for entry, log_mel in values.items())
    assert found.statistics.n_frames == 11 * 32 + 63


def test_other_feature_settings_read_everything_again(config):
    prepare(config)
    other = dataclasses.replace(config, feature=Feature(n_mels=64))
    with pytest.raises(DataError, match="other feature settings.*Run `ganad prepare`"):
        current(other)
    assert prepare(other).n_new == 12
    (_, log_mel), *_ = records.read(cache_of(other), current(other).entries)
    assert log_mel.shape == (32, 64)
    assert len(list(cache_of(other).glob("*.tfrecord"))) == 1  # the old shard is gone


def test_standardising_needs_no_other_cache(config):
    prepare(config)
    assert prepare(dataclasses.replace(config, feature=Feature(standardize=True))).n_new == 0


def _flip_a_byte(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda cache: _flip_a_byte(next(cache.glob("*.tfrecord")), 5000),
            "corrupted: the checksum of .* does not match",
        ),
        (lambda cache: os.truncate(next(cache.glob("*.tfrecord")), 5000), "corrupted: .* has 5000 bytes"),
        (lambda cache: next(cache.glob("*.tfrecord")).unlink(), "corrupted: .* can't be read"),
        (lambda cache: _flip_a_byte(cache / "manifest.json", 3000), "corrupted: manifest.json"),
        (lambda cache: os.truncate(cache / "manifest.json", 3000), "corrupted: manifest.json"),
        (lambda cache: (cache / "manifest.json").unlink(), "Expected a cache in .* but there is none"),
        (lambda cache: _edit(cache, is_complete=False), "is not finished"),
        (lambda cache: _edit(cache, fingerprint="of an earlier version"), "was made with other feature settings"),
    ],
)
def test_a_damaged_cache_is_refused_and_mended(config, damage, message):
    prepare(config)
    before = {entry.clip: log_mel for entry, log_mel in records.read(cache_of(config), current(config).entries)}
    damage(cache_of(config))
    with pytest.raises(DataError, match=message + r".*Run `ganad prepare`"):
        current(config)
    prepare(config)
    after = {entry.clip: log_mel for entry, log_mel in records.read(cache_of(config), current(config).entries)}
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[clip], after[clip]) for clip in before)


def _edit(cache, **changes):
    manifest.save(cache, dataclasses.replace(manifest.load(cache), **changes))


def test_damage_is_noticed_while_reading_too(config):
    prepare(config)
    entries = current(config).entries
    _flip_a_byte(next(cache_of(config).glob("*.tfrecord")), 5000)
    with pytest.raises(DataError, match="corrupted: .* can't be read"):
        list(records.read(cache_of(config), entries))


def _spoil(folder):
    write_wav(folder / "normal_id_00_00000090.wav", tone(seconds=0.1))
    (folder / "normal_id_00_00000091.wav").write_bytes(b"")
    write_wav(folder / "normal_id_00_00000092.wav", tone(), rate=8000)
    write_wav(folder / "normal_id_00_00000093.wav", 1e30 * tone(), subtype="FLOAT")
    return {f"normal_id_00_0000009{digit}.wav" for digit in "0123"}


def test_every_bad_clip_is_named_and_the_good_ones_are_kept(config):
    bad = _spoil(config.data_directory("dev") / "fan" / "train")
    with pytest.raises(DataError, match="4 of 16 clips can't be used") as raised:
        prepare(config)
    assert all(name in str(raised.value) for name in bad)
    assert "expected at least 2048 samples, received 1600" in str(raised.value)
    assert "expected samples from -1 to 1, received up to 1" in str(raised.value)
    with pytest.raises(DataError, match="not finished"):
        current(config)
    for name in bad:
        (config.data_directory("dev") / "fan" / "train" / name).unlink()
    done = prepare(config)
    assert (done.n_new, done.n_kept) == (0, 12)


def test_skipped_clips_are_listed_and_have_no_log_mel(config):
    bad = _spoil(config.data_directory("dev") / "fan" / "train")
    skipping = dataclasses.replace(config, on_bad_clip="skip")
    done = prepare(skipping)
    assert (done.n_new, {clip.file.rpartition("/")[2] for clip in done.skipped}) == (12, bad)
    found = current(skipping)
    assert {clip.file.rpartition("/")[2] for clip in found.skipped} == bad
    assert not bad & {entry.clip.name for entry in found.entries}
    assert prepare(skipping).n_new == 0
    with pytest.raises(DataError, match="leaves out 4 clips that can't be used. Run `ganad prepare`"):
        current(config)
    mended = config.data_directory("dev") / "fan" / "train" / "normal_id_00_00000091.wav"
    write_wav(mended, tone())
    assert prepare(skipping).n_new == 1


def test_nothing_usable_is_an_error_even_when_skipping(config):
    for path in (config.data_directory("dev") / "fan" / "train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="None of the 12 train clips of fan can be used"):
        prepare(dataclasses.replace(config, on_bad_clip="skip"))


def test_impossible_features_are_refused_before_anything_is_read(config):
    with pytest.raises(ConfigError, match="bands are empty"):
        prepare(dataclasses.replace(config, feature=Feature(n_fft=256, hop_length=128)))


def test_eight_channels_of_real_recordings(real_data, tmp_path):
    config = Config(
        dev_directory=str(real_data / "mimii" / "fan"),
        cache_directory=str(tmp_path),
        dataset=Dataset("folder", folder=FolderData(test_split=0.5)),
        audio=Audio(channel=7),
    )
    (listing,) = datasets.list_clips(config, "dev")
    assert prepare_cache(MachineRun(config, listing, "dev"), "test").n_new == 3
    assert all(entry.frames == 313 for entry in Cache(MachineRun(config, listing, "dev"), "test").current().entries)


def prepare_in_small_shards(config):
    """Prepares the cache with a manifest after every eighth clip, if time allows."""
    blocks.CLIPS_PER_SHARD = 8
    prepare(config)


@pytest.mark.parametrize(
    "seconds", [0.0, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (0.05, 0.15, 0.3, 0.6))]
)
def test_killed_at_any_moment_nothing_loads_as_complete_and_the_rest_follows(config, seconds):
    """A real kill of a real process, some time after it has begun to write."""
    write_machine(
        config.data_directory("dev"), "fan", ids=tuple(f"{number:02d}" for number in range(20)), n_train=10, n_test=0
    )
    process = forked(prepare_in_small_shards, config)
    kill_after(process, cache_of(config) / "manifest.json", seconds)
    if process.exitcode:
        with pytest.raises(DataError, match="not finished|no.* cache|there is none"):
            current(config)
        kept = len(json.loads((cache_of(config) / "manifest.json").read_text())["manifest"]["entries"])
        assert prepare(config).n_kept == kept
    found = current(config)
    assert len(found.entries) == 200
    assert len(dict(records.read(cache_of(config), found.entries))) == 200
    assert not list(cache_of(config).glob(".*"))
