"""Recordings that are whole but odd: what is said of each, by whom, and that it is said again from the cache."""

import os
import re
import shutil

import numpy as np
import pytest
from conftest import tone, write_machine, write_wav

from ganad_tf.audio import reader, sound_checks
from ganad_tf.audio.sound_checks import Examination
from ganad_tf.cache import manifest
from ganad_tf.clips import Clip
from ganad_tf.config.sections import Audio
from ganad_tf.datasets import oddities
from ganad_tf.files import checksummed

SECOND = np.arange(16000) / 16000


def sine(hz, amplitude):
    return amplitude * np.sin(2 * np.pi * hz * SECOND)


def flat_top(n_samples, *starts, level=32767):
    """Noise that stays at one value for a while here and there, as 16-bit numbers."""
    samples = np.random.default_rng(0).normal(0, 3000, 16000).astype(np.int16)
    for start in starts:
        samples[start : start + n_samples] = level
    return samples


def louder_later(samples):
    """Beyond what was the highest and the lowest value before."""
    samples[12000:12002] = 32767, -32768
    return samples


@pytest.mark.parametrize(
    ("samples", "settings", "expected"),
    [
        (tone(), {}, ()),
        (np.zeros(16000), {}, ("digital silence",)),
        (np.full(16000, 0.3), {}, ("digital silence",)),
        (np.full(16000, 0.999), {}, ("digital silence",)),  # at the end of the scale, but not cut off
        (np.clip(sine(440, 1.5), -1, 1), {}, ("clipped",)),
        (np.clip(sine(440, 1.5), -1, 1), {"subtype": "PCM_24"}, ("clipped",)),
        (np.clip(sine(440, 1.5), -1, 1), {"subtype": "FLOAT"}, ("clipped",)),
        (np.clip(sine(440, 1.5), -1, 1), {"subtype": "PCM_U8"}, ("clipped",)),
        (np.clip(sine(440, 1.5), -1, 1), {"subtype": "ULAW"}, ("clipped",)),
        (np.maximum(sine(440, 1.5), -1), {"subtype": "FLOAT"}, ("clipped",)),  # below only
        (sine(440, 0.99997), {}, ()),  # brought up to full scale, not beyond
        (sine(20, 0.99997), {}, ()),
        (sine(440, 1.5) * 0.3, {}, ()),
        (np.clip(sine(440, 1.5), -0.5, 0.5), {}, ()),  # before the recorder: its scale is not known
        (flat_top(1, *range(0, 16000, 100)), {}, ()),
        (flat_top(2, *range(0, 16000, 100)), {}, ()),
        (flat_top(3, 100, 200, 300), {}, ()),  # 9 samples
        (flat_top(3, 100, 200, 300, 400), {}, ("clipped",)),
        (flat_top(10, 5000), {}, ("clipped",)),
        (flat_top(10, 5000, level=-32768), {}, ("clipped",)),
        (flat_top(10, 5000, level=32000), {}, ()),
        (louder_later(flat_top(10, 100, level=32300)), {}, ()),
        (louder_later(flat_top(10, 100, level=-32300)), {}, ()),
        (np.stack([tone(), np.zeros(16000)], axis=1), {}, ("constant channel 1",)),
        (np.stack([tone(), np.clip(sine(440, 1.5), -1, 1)], axis=1), {}, ()),  # which is not used
        (
            np.stack([np.zeros(16000), tone(), np.ones(16000) / 2], axis=1),
            {},
            ("digital silence", "constant channel 2"),
        ),
        (np.stack([np.zeros(16000), tone()], axis=1), {"channel": 1}, ("constant channel 0",)),
        (np.stack([np.zeros(16000), tone()], axis=1), {"channel": "mean"}, ("constant channel 0",)),
        (np.zeros((16000, 2)), {"channel": "mean"}, ("digital silence",)),
    ],
)
def test_a_recording_s_remarks(tmp_path, monkeypatch, samples, settings, expected):
    settings = dict(settings)
    channel = settings.pop("channel", 0)
    path = write_wav(tmp_path / "fan" / "train" / "a.wav", samples, **settings)
    for block_samples in (reader.BLOCK, 5000):
        monkeypatch.setattr(reader, "BLOCK", block_samples)
        examined = sound_checks.examine(tmp_path, clip("a.wav"), Audio(channel=channel))
        assert examined == Examination(checksummed.file_checksum(path), expected)


def clip(name, split="train", machine="fan"):
    return Clip(f"{machine}/{split}/{name}", name, machine, "00", split, 0, 1, 1)


def test_one_line_per_kind_with_the_number_and_some_names():
    silent = {clip(f"{number}.wav"): Examination(str(number), ("digital silence",)) for number in range(7)}
    odd = {
        clip("c.wav"): Examination("c", ("clipped", "constant channel 3")),
        clip("d.wav"): None,
        clip("e.wav"): Examination("", ()),  # nothing is known of its contents
        clip("f.wav"): Examination("", ()),
    }
    names = ", ".join(f"fan/train/{number}.wav" for number in range(5))
    assert list(oddities.lines(silent | odd)) == [
        "1 recording can't be read, `ganad prepare` says why: fan/train/d.wav.",
        f"Digital silence, every sample the same, in 7 recordings: {names} and 2 more.",
        "Clipped, cut off flat at full scale, in 1 recording: fan/train/c.wav.",
        "A channel without sound, every sample the same, in 1 recording: fan/train/c.wav (constant channel 3).",
    ]
    assert list(oddities.lines({clip("a.wav"): Examination("a", ())})) == []


def test_identical_files_are_named_and_those_in_training_and_test_twice():
    contents = {
        clip("a.wav"): Examination("1", ()),
        clip("b.wav", "test"): Examination("1", ()),
        clip("c.wav"): Examination("2", ()),
        clip("d.wav"): Examination("2", ()),
        clip("e.wav"): Examination("3", ()),
        clip("f.wav", "test", "pump"): Examination("2", ()),  # another machine's detector has not heard it
    }
    assert list(oddities.lines(contents)) == [
        "Identical files, 5 recordings in 2 groups: fan/train/a.wav = fan/test/b.wav, "
        "fan/train/c.wav = fan/train/d.wav = pump/test/f.wav.",
        "In training and in the test, which makes results too good, 1 recording: fan/train/a.wav = fan/test/b.wav.",
    ]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    place = tmp_path_factory.mktemp("odd")
    write_machine(place / "data", "fan", ids=("00",))
    train, test = place / "data" / "fan" / "train", place / "data" / "fan" / "test"
    write_wav(train / "normal_id_00_00000020.wav", np.zeros(16000))
    write_wav(train / "normal_id_00_00000021.wav", np.clip(sine(440, 1.5), -1, 1))
    write_wav(test / "normal_id_00_00000022.wav", np.stack([tone(seed=50), np.zeros(16000)], axis=1))
    shutil.copy(train / "normal_id_00_00000000.wav", test / "normal_id_00_00000023.wav")
    (place / "fan.yaml").write_text("dev_directory: data\ncache_directory: cache\nfeature: {n_mels: 16}\n")
    return place


WARNINGS = """\
Digital silence, every sample the same, in 1 recording: fan/train/normal_id_00_00000020.wav.
Clipped, cut off flat at full scale, in 1 recording: fan/train/normal_id_00_00000021.wav.
A channel without sound, every sample the same, in 1 recording: fan/test/normal_id_00_00000022.wav (constant channel 1).
Identical files, 2 recordings in 1 group: fan/train/normal_id_00_00000000.wav = fan/test/normal_id_00_00000023.wav.
In training and in the test, which makes results too good, 1 recording: \
fan/train/normal_id_00_00000000.wav = fan/test/normal_id_00_00000023.wav.
"""


def test_list_and_prepare_warn_of_odd_recordings_every_time(odd, tmp_path, ganad):
    place = shutil.copytree(odd, tmp_path / "odd")
    listed = ganad("list", "fan.yaml", cwd=place)
    assert listed.stderr == WARNINGS
    assert re.search(r"fan +00 +8 +5 +3 +0\n", listed.stdout)
    assert ganad("prepare", "fan.yaml", "-q", cwd=place).stderr == WARNINGS
    entries = manifest.load(place / "cache" / "dev" / "fan" / "train").entries
    remarks = {entry.clip.name: entry.remarks for entry in entries if entry.remarks}
    silent, clipped = (f"normal_id_00_0000002{digit}.wav" for digit in "01")
    assert remarks == {silent: ("digital silence",), clipped: ("clipped",)}
    assert ganad("prepare", "fan.yaml", cwd=place).stderr == WARNINGS
    (place / "data" / "fan" / "train" / silent).write_bytes(b"no recording")
    done = ganad("list", "fan.yaml", cwd=place)
    changed = f"1 recording can't be read, `ganad prepare` says why: fan/train/{silent}.\n"
    assert done.stderr == changed + WARNINGS.partition("\n")[2]


def test_a_second_prepare_warns_without_reading(odd, tmp_path, ganad):
    """The recordings' contents are gone; their names, sizes and times are those that the cache knows."""
    place = shutil.copytree(odd, tmp_path / "odd")
    ganad("prepare", "fan.yaml", cwd=place)
    for path in (place / "data").rglob("*.wav"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for verb in ("prepare", "list"):
        assert ganad(verb, "fan.yaml", cwd=place).stderr == WARNINGS
