import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.config.sections import Audio
from ganad_tf.features import LogMel, Normalizer, n_frames, stack_frames

TOLERANCE_DB = 1e-3


def librosa_log_mel(
    waveform, *, n_fft=1024, hop_length=512, n_mels=128, power=2.0, pad_mode="reflect", sample_rate=16000
):
    """The baseline's features by librosa, in float64; `[frames, mels]` dB."""
    spectrum = librosa.stft(
        waveform.astype(np.float64), n_fft=n_fft, hop_length=hop_length, pad_mode=pad_mode, dtype=np.complex128
    )
    mel = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, dtype=np.float64)
    return (20.0 / power * np.log10(mel @ np.abs(spectrum) ** power + np.finfo(np.float64).eps)).T


def signals():
    time = np.arange(16000) / 16000
    rng = np.random.default_rng(0)
    return {
        "tone on a bin": np.sin(2 * np.pi * 1000 * time),
        "tone between bins": 0.5 * np.sin(2 * np.pi * 3456.7 * time),
        "faint tone": 1e-6 * np.sin(2 * np.pi * 440 * time),
        "silence": np.zeros(16000),
        "full-scale noise": rng.uniform(-1, 1, 16000),
        "full-scale square": np.sign(np.sin(2 * np.pi * 100 * time) + 1e-9),
        "one click": np.eye(1, 16000, 8000)[0],
        "odd length": rng.normal(0, 0.1, 12345),
        "shortest": rng.normal(0, 0.1, 2048),
    }


@pytest.mark.parametrize("pad_mode", ["reflect", "constant"])
@pytest.mark.parametrize("name", signals())
def test_equals_librosa_in_float64(name, pad_mode):
    waveform = signals()[name].astype(np.float32)
    ours = LogMel(pad_mode=pad_mode)(waveform[np.newaxis])[0].numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, librosa_log_mel(waveform, pad_mode=pad_mode), rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_fft": 2048, "hop_length": 256, "n_mels": 64, "power": 1.0},
        {"n_fft": 512, "hop_length": 512, "n_mels": 40},
        {"sample_rate": 44100, "n_fft": 4096, "hop_length": 1000, "power": 1.5},
    ],
)
def test_equals_librosa_for_other_settings(settings):
    waveform = np.random.default_rng(1).normal(0, 0.1, 20000).astype(np.float32)
    ours = LogMel(**settings)(waveform[np.newaxis])[0].numpy()
    np.testing.assert_allclose(ours, librosa_log_mel(waveform, **settings), rtol=0, atol=TOLERANCE_DB)


def test_equals_librosa_on_every_real_clip(real_data):
    log_mel = tf.function(LogMel(), input_signature=[tf.TensorSpec([None, None])])
    paths = sorted((real_data / "dcase2020").glob("**/*.wav"))
    assert len(paths) == 185
    for path in paths:
        waveform = audio.read(path, Audio())
        ours = log_mel(waveform[np.newaxis])[0].numpy()
        np.testing.assert_allclose(ours, librosa_log_mel(waveform), rtol=0, atol=TOLERANCE_DB, err_msg=str(path))


def test_equals_the_log_mels_that_others_made_of_the_same_recordings(real_data):
    """Frames 50 to 250 of ToyCar test clips, stored in float16."""
    with np.load(real_data / "toycar_logmel" / "toycar_id01_id02.npz") as arrays:
        stored = dict(zip(arrays["names"], arrays["logmel_db"], strict=True))
    paths = sorted((real_data / "dcase2020" / "dev_data" / "ToyCar" / "test").glob("*.wav"))
    assert len(paths) == 12
    for path in paths:
        ours = LogMel()(audio.read(path, Audio())[np.newaxis])[0, 50:250].numpy()
        np.testing.assert_allclose(ours, stored[path.stem].astype(np.float32), rtol=0, atol=0.05)


def test_a_clip_does_not_depend_on_its_batch():
    waveforms = np.random.default_rng(2).normal(0, 0.1, [3, 8000]).astype(np.float32)
    together = LogMel()(waveforms).numpy()
    for alone, waveform in zip(together, waveforms, strict=True):
        np.testing.assert_allclose(LogMel()(waveform[np.newaxis])[0], alone, rtol=0, atol=1e-5)


def test_relative_log_is_level_free_and_floored():
    waveform = np.concatenate([signals()["tone on a bin"], np.zeros(16000)]).astype(np.float32)[np.newaxis]
    loud, quiet = LogMel(log="relative_80db")(waveform).numpy(), LogMel(log="relative_80db")(0.1 * waveform).numpy()
    assert loud.max() == 0
    assert loud.min() == -80
    np.testing.assert_allclose(quiet, loud, atol=1e-3)


def test_half_precision_policy_does_not_touch_the_features():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        waveform = signals()["tone between bins"].astype(np.float32)
        ours = LogMel()(waveform[np.newaxis])[0].numpy()
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(ours, librosa_log_mel(waveform), rtol=0, atol=TOLERANCE_DB)


def test_layer_survives_saving_inside_a_model(tmp_path):
    inputs = keras.Input([None])
    settings = {
        "sample_rate": 8000,
        "n_fft": 512,
        "hop_length": 128,
        "n_mels": 20,
        "power": 1.0,
        "pad_mode": "constant",
        "log": "relative_80db",
        "fft": "float32",
    }
    normalizer = Normalizer(mean=np.linspace(-60, -20, 20), std=np.linspace(1, 5, 20))
    model = keras.Model(inputs, normalizer(LogMel(**settings)(inputs)))
    model.save(tmp_path / "features.keras")
    waveform = np.random.default_rng(3).normal(0, 0.1, [1, 4000]).astype(np.float32)
    reloaded = keras.models.load_model(tmp_path / "features.keras")
    np.testing.assert_array_equal(reloaded(waveform), model(waveform))
    assert {key: reloaded.layers[1].get_config()[key] for key in settings} == settings


def test_a_float32_fft_hears_the_same_where_there_is_noise():
    waveform = np.random.default_rng(3).normal(0, 0.01, [1, 16000]).astype(np.float32)
    np.testing.assert_allclose(LogMel(fft="float32")(waveform), LogMel()(waveform), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pad_mode": "wrap"}, "Expected pad_mode"),
        ({"n_fft": 1023}, "even n_fft"),
        ({"log": "natural"}, "Expected log"),
        ({"fft": "float16"}, "Expected fft"),
        ({"n_fft": 256, "n_mels": 128}, r"\d+ of 128 bands are empty"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LogMel(**settings)


def test_stacking_follows_the_baseline():
    """`v[128 t : 128 (t+1)] = log_mel[:, start + t]`, oldest first, stride 1."""
    log_mel = np.random.default_rng(4).normal(size=[2, 9, 3]).astype(np.float32)
    expected = np.zeros([2, 5, 15], np.float32)
    for t in range(5):
        expected[:, :, 3 * t : 3 * (t + 1)] = log_mel[:, t : t + 5]
    np.testing.assert_array_equal(stack_frames(tf.constant(log_mel), 5), expected)


def test_windows_longer_than_the_clip_are_refused():
    with pytest.raises(ValueError, match="frames=11"):
        stack_frames(tf.zeros([1, 10, 4]), 11)


@pytest.mark.parametrize(("seconds", "spectra"), [(10, 313), (11, 344)])
def test_number_of_spectra_of_the_challenge_s_clips(seconds, spectra):
    assert n_frames(seconds * 16000, 512) == spectra
    assert LogMel().compute_output_shape([None, seconds * 16000]) == (None, spectra, 128)


def test_a_band_that_never_changes_is_not_blown_up():
    values = Normalizer(mean=[-156.5], std=[0.0])(tf.constant([[-156.5]])).numpy()
    assert values == [[0.0]]


def test_no_product_is_left_to_a_gpus_three_digits():
    layer = LogMel(sample_rate=16000, n_fft=1024, hop_length=512, n_mels=128)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec([1, None], tf.float32)).graph
    products = [operation for operation in graph.get_operations() if "MatMul" in operation.type]
    assert products
    assert {tf.DeviceSpec.from_string(product.device).device_type for product in products} == {"CPU"}
