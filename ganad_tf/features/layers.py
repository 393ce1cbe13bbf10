"""The layer that the sections `audio` and `feature` describe, and the shortest clip that it takes."""

from typing import Any, Literal

from ganad_tf.config.sections import Audio, Feature
from ganad_tf.errors import ConfigError
from ganad_tf.features import clip_encoder
from ganad_tf.features.clip_encoder import ClipEncoder
from ganad_tf.features.log_mel import LogMel
from ganad_tf.features.variants import MFCC, PCEN, LinearSpectrogram

AnySpectra = LogMel | LinearSpectrogram  # also those of MFCC and PCEN


def log_mel_layer(audio: Audio, feature: Feature, *, fft: Literal["float64", "float32"] = "float64") -> AnySpectra:
    """The layer of `feature.kind`, with an FFT of the given precision.

    Raises:
      ConfigError: If the settings are not valid for the layer.
    """
    settings: dict[str, Any] = {name: getattr(feature, name) for name in ("n_fft", "hop_length", "win_length", "power")}
    settings |= {"sample_rate": audio.sample_rate, "pad_mode": feature.pad_mode, "log": feature.log, "fft": fft}
    if feature.kind != "linear":
        settings |= {"n_mels": feature.n_mels, "fmin": feature.fmin, "fmax": feature.fmax}
    if feature.kind == "mfcc":
        settings |= {"n_mfcc": feature.n_mfcc}
    kinds: dict[str, type[AnySpectra]] = {"log_mel": LogMel, "linear": LinearSpectrogram, "mfcc": MFCC, "pcen": PCEN}
    try:
        return kinds[feature.kind](**settings)
    except ValueError as error:
        raise ConfigError(f"No spectrum can be computed with the section `feature`: {error}") from error


def feature_layer(
    audio: Audio, feature: Feature, *, fft: Literal["float64", "float32"] = "float64"
) -> AnySpectra | ClipEncoder:
    """The layer of the section `feature`, with `in_pieces` from one clip `[samples]` to `[frames, bands]`.

    Raises:
      ConfigError: If the settings are not valid for the layer.
      DataError: If there is no encoder where the settings say.
    """
    return log_mel_layer(audio, feature, fft=fft) if feature.encoder is None else clip_encoder.clip_encoder(feature)


def fewest_samples(feature: Feature) -> int:
    """Minimum number of samples of a clip: enough spectra for a window, and enough samples for reflection padding.

    With an encoder, enough for a window of embeddings.

    Raises:
      ConfigError, DataError: If the encoder can't be used.
    """
    if feature.encoder is not None:
        return clip_encoder.fewest_samples(feature)
    return max((feature.frames - 1) * feature.hop_length, feature.n_fft // 2 + 1)
