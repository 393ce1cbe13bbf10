import re

import librosa
import numpy as np
import pytest
import soundfile
from conftest import tone, write_wav

from ganad_tf import audio
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("clip.wav", "PCM_16", 2**-15),
        ("clip.wav", "PCM_24", 2**-23),
        ("clip.wav", "FLOAT", 0),
        ("clip.flac", "PCM_16", 2**-15),
        ("clip.flac", "PCM_24", 2**-23),
        ("clip.aiff", "PCM_16", 2**-15),
        ("clip.au", "PCM_16", 2**-15),
        ("clip.w64", "PCM_16", 2**-15),
    ],
)
def test_reads_the_samples_that_were_written(tmp_path, name, subtype, tolerance):
    samples = tone()
    waveform = audio.read(write_wav(tmp_path / name, samples, subtype=subtype), Audio())
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, samples, rtol=0, atol=tolerance)


def test_lossy_formats_keep_the_length_and_the_sound(tmp_path):
    samples = tone(noise=0)
    waveform = audio.read(write_wav(tmp_path / "clip.ogg", samples, subtype="VORBIS"), Audio())
    assert waveform.shape == samples.shape
    assert np.corrcoef(waveform, samples)[0, 1] > 0.99


def test_channel_selects_one_of_several_or_their_mean(tmp_path):
    channels = np.stack([tone(hz=200 * (number + 1)) for number in range(8)], axis=1)
    path = write_wav(tmp_path / "eight.wav", channels, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(path, Audio()), channels[:, 0])
    np.testing.assert_array_equal(audio.read(path, Audio(channel=5)), channels[:, 5])
    np.testing.assert_allclose(audio.read(path, Audio(channel="mean")), channels.mean(axis=1), atol=1e-7)


def test_resampling_keeps_pitch_and_duration(tmp_path):
    time = np.arange(44100) / 44100
    path = write_wav(tmp_path / "cd.wav", 0.5 * np.sin(2 * np.pi * 1000 * time), rate=44100)
    waveform = audio.read(path, Audio(resample=True))
    assert waveform.shape == (16000,)
    assert np.argmax(np.abs(np.fft.rfft(waveform))) == 1000


@pytest.mark.slow  # librosa compiles for ten seconds in a new environment
@pytest.mark.parametrize(
    ("rate", "n_samples"), [(44100, 44100), (48000, 4801), (8000, 777), (22050, 3), (16001, 16000)]
)
def test_resampling_is_librosa_s(tmp_path, rate, n_samples):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, n_samples).astype(np.float32)
    path = write_wav(tmp_path / "noise.wav", samples, rate=rate, subtype="FLOAT")
    expected = librosa.resample(samples, orig_sr=rate, target_sr=16000)
    np.testing.assert_array_equal(audio.read(path, Audio(resample=True)), expected)


def _bad_files(folder):
    good = write_wav(folder / "good.wav", tone())
    data = good.read_bytes()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "cut.wav").write_bytes(data[: len(data) // 2])
    (folder / "text.wav").write_text("these are not samples\n" * 100)
    (folder / "header.wav").write_bytes(data[:44])
    write_wav(folder / "no_samples.wav", np.zeros(0, np.float32))
    write_wav(folder / "nan.wav", np.full(16000, np.nan, np.float32), subtype="FLOAT")
    signalling = np.full(16000, 0x7F800001, np.uint32).view(np.float32)
    write_wav(folder / "signalling_nan.wav", signalling, subtype="FLOAT")
    one_infinite = tone()
    one_infinite[77] = np.inf
    write_wav(folder / "inf.wav", one_infinite, subtype="FLOAT")
    write_wav(folder / "rate.wav", tone(), rate=44100)
    flac = write_wav(folder / "whole.flac", tone(seconds=2))
    (folder / "cut.flac").write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    aiff = write_wav(folder / "whole.aiff", tone())
    (folder / "cut.aiff").write_bytes(aiff.read_bytes()[:-1000])
    mp3 = write_wav(folder / "whole.mp3", tone(seconds=3), subtype="MPEG_LAYER_III")
    (folder / "cut.mp3").write_bytes(mp3.read_bytes()[: mp3.stat().st_size // 2])
    ogg = write_wav(folder / "whole.ogg", tone(seconds=3), subtype="VORBIS")
    (folder / "cut.ogg").write_bytes(ogg.read_bytes()[: ogg.stat().st_size * 6 // 10])
    (folder / "cut.opus").write_bytes(ogg.read_bytes()[:-200])
    soundfile.write(folder / "speech.nist", tone(), 16000, format="NIST")
    (folder / "folder.wav").mkdir()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.wav", "expected an audio file, but it is empty"),
        ("cut.wav", r"expected 32000 bytes as its header says, but the file is cut off after 15978"),
        ("text.wav", "expected an audio file that can be read"),
        ("header.wav", "cut off"),
        ("no_samples.wav", "holds no samples"),
        ("nan.wav", "16000 of 16000 samples are NaN or infinite"),
        ("signalling_nan.wav", "16000 of 16000 samples are NaN or infinite"),
        ("inf.wav", "1 of 16000 samples are NaN or infinite"),
        ("rate.wav", "expected a sample rate of 16000 Hz, received 44100 Hz; set .*resample: true"),
        ("cut.flac", "expected FLAC sound that can be decoded; the file is cut off"),
        ("cut.aiff", "cut off"),
        ("cut.mp3", "cut off"),
        ("cut.ogg", "cut off"),
        ("cut.opus", "cut off"),
        ("speech.nist", "shows whether a file is whole, not NIST"),
        ("folder.wav", "expected an audio file that can be read"),
        ("missing.wav", "does not exist"),
    ],
)
def test_a_file_that_is_not_whole_is_named_with_what_is_wrong(tmp_path, name, message):
    _bad_files(tmp_path)
    with pytest.raises(DataError, match=message) as raised:
        audio.read(tmp_path / name, Audio())
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_rate_that_would_make_it_a_hundred_times_longer_is_refused(tmp_path):
    path = write_wav(tmp_path / "slow.wav", tone(seconds=0.1), rate=100)
    with pytest.raises(DataError, match="can be resampled to 16000 Hz, received 100 Hz"):
        audio.read(path, Audio(resample=True))


def test_a_missing_channel_is_refused(tmp_path):
    path = write_wav(tmp_path / "mono.wav", tone())
    with pytest.raises(DataError, match=r"expected a channel 3, but the file has channels 0 to 0; set `audio\.channel"):
        audio.read(path, Audio(channel=3))


def test_a_few_bytes_off_in_the_outer_size_are_no_lost_sound(tmp_path):
    path = write_wav(tmp_path / "sloppy.wav", tone())
    data = bytearray(path.read_bytes())
    data[4:8] = (int.from_bytes(data[4:8], "little") + 8).to_bytes(4, "little")
    path.write_bytes(data)
    assert audio.read(path, Audio()).shape == (16000,)


def test_every_real_recording_can_be_read(real_data):
    paths = sorted(real_data.glob("**/*.wav"))
    assert len(paths) > 100
    for path in paths:
        info = soundfile.info(path)
        assert audio.read(path, Audio()).shape == (info.frames,), path


def test_known_endings_are_those_of_soundfile():
    assert {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif"} <= audio.extensions()
    assert not any(re.search(r"raw|txt|npy", ending) for ending in audio.extensions())
