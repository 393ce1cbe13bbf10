"""The section `feature`: log-mel spectra or other spectra, or embeddings of the waveform."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganad_tf.config.paths import Location
from ganad_tf.files import network_file
from ganad_tf.mel_scale import band_edges

LONGEST_SPECTRUM = 65536  # samples; a larger FFT is more likely a typing error than intended
ADDED_LATER = ("kind", "fmin", "fmax", "win_length", "n_mfcc", "window_hop")  # recorded if they are not the default
UNUSED = {  # settings without effect
    "log_mel": ("n_mfcc",),
    "linear": ("n_mels", "fmin", "fmax", "n_mfcc"),
    "mfcc": (),
    "pcen": ("n_mfcc", "log"),
    "encoder": ("n_fft", "hop_length", "win_length", "power", "pad_mode", "log", "kind", "fmin", "fmax", "n_mfcc"),
}


@dataclass(frozen=True)
class Feature:
    """`feature`: spectra, or embeddings by a frozen network, and their stacking into windows.

    Attributes:
      kind: `log_mel`; `linear` for the levels of all `n_fft / 2 + 1` bins of the FFT; `mfcc` for the cosine transform
        of log-mels; `pcen` for mel bands under per-channel energy normalization (Wang et al. 2017).
      n_mels: Mel bands per spectrum; with an encoder, units of its embeddings, which take the place of spectra.
      frames: Consecutive spectra per window.
      n_fft: Samples per spectrum.
      win_length: Samples under the window, which zeros fill up to `n_fft`; None for `n_fft`.
      hop_length: Samples from one spectrum to the next.
      fmin, fmax: Lower edge of the lowest and upper edge of the highest mel band, in hertz; None for half the rate.
      n_mfcc: Coefficients of `kind: mfcc`, the lowest first.
      power: 2 for power, 1 for magnitude.
      pad_mode: Padding at both ends of a clip: `reflect` (librosa up to 0.8) or `constant` (librosa since 0.9).
      log: `baseline` for absolute decibels, `relative_80db` for decibels below the clip's maximum, floored 80 below.
      standardize: Whether each mel band is standardised by its mean and standard deviation over the training clips;
        None leaves it to the dataset, as `automatic.py` says.
      window_hop: Spectra from one window to the next, in training and scoring.
      encoder: Network from waveforms to embeddings: the folder of a SavedModel, or a `.keras` or `.onnx` file; None for
        log-mels. The settings of spectra then keep their defaults.
      encoder_output: Name of the network's output; empty for the only one.
    """

    kind: Literal["log_mel", "linear", "mfcc", "pcen"] = "log_mel"
    n_mels: int = 128
    frames: int = 5
    n_fft: int = 1024
    win_length: int | None = None
    hop_length: int = 512
    fmin: float = 0.0
    fmax: float | None = None
    n_mfcc: int = 20
    power: float = 2.0
    pad_mode: Literal["reflect", "constant"] = "reflect"
    log: Literal["baseline", "relative_80db"] = "baseline"
    standardize: bool | None = None
    window_hop: int = 1
    encoder: Location | None = None
    encoder_output: str = ""

    def __post_init__(self) -> None:
        for name in ("n_mels", "frames", "n_fft", "hop_length", "window_hop", "n_mfcc"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected a positive `feature.{name}`. Received: {getattr(self, name)}.")
        self._refuse_unused()
        if self.encoder is None:
            self._check_transform()
            self._check_bands()

    def _refuse_unused(self) -> None:
        unused = UNUSED["encoder" if self.encoder is not None else self.kind]
        if given := [name for name in unused if getattr(self, name) != getattr(Feature, name)]:
            names = ", ".join(f"`feature.{name}`" for name in given)
            reason = "" if self.encoder is not None else ", on which they have no effect"
            received = ", ".join(str(getattr(self, name)) for name in given)
            raise ValueError(f"expected no {names} with {self.in_words}{reason}. Received: {received}.")

    def _check_transform(self) -> None:
        if self.n_fft % 2 or self.n_fft > LONGEST_SPECTRUM:
            raise ValueError(f"expected an even `feature.n_fft` of at most {LONGEST_SPECTRUM}. Received: {self.n_fft}.")
        if self.win_length is not None and not 2 <= self.win_length <= self.n_fft:
            raise ValueError(
                "expected `feature.win_length` from 2 to `feature.n_fft`. "
                f"Received: win_length={self.win_length}, n_fft={self.n_fft}."
            )
        longest = "n_fft" if self.win_length is None else "win_length"
        if self.hop_length > getattr(self, longest):
            raise ValueError(
                f"expected `feature.hop_length` of at most `feature.{longest}`, so that no sample is skipped. "
                f"Received: hop_length={self.hop_length}, {longest}={getattr(self, longest)}."
            )
        if not 0 < self.power <= 4:
            raise ValueError(f"expected `feature.power` above 0 and at most 4. Received: {self.power}.")

    def _check_bands(self) -> None:
        if self.kind != "linear" and self.n_mels > self.n_fft // 2:
            raise ValueError(
                "expected `feature.n_mels` of at most half of `feature.n_fft`. "
                f"Received: n_mels={self.n_mels}, n_fft={self.n_fft}."
            )
        if self.kind == "mfcc" and self.n_mfcc > self.n_mels:
            raise ValueError(
                "expected `feature.n_mfcc` of at most `feature.n_mels`. "
                f"Received: n_mfcc={self.n_mfcc}, n_mels={self.n_mels}."
            )
        if self.fmin < 0 or (self.fmax is not None and self.fmax <= self.fmin):
            raise ValueError(
                "expected `feature.fmin` of at least 0 and below `feature.fmax`. "
                f"Received: fmin={self.fmin}, fmax={self.fmax}."
            )

    def check_rate(self, sample_rate: int) -> None:
        """Checks that the mel bands lie below half the sample rate, in hertz.

        Raises:
          ValueError: If they do not.
        """
        if self.fmin >= sample_rate / 2 or (self.fmax or 0) > sample_rate / 2:
            raise ValueError(
                "expected `feature.fmin` and `feature.fmax` of at most half of `audio.sample_rate`. "
                f"Received: fmin={self.fmin}, fmax={self.fmax}, sample_rate={sample_rate}."
            )

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify detectors; settings added later only where they are not the default.

        An encoder is recorded by the SHA-256 of its contents, wherever it lies.

        Raises:
          DataError: If there is no encoder where the settings say.
        """
        recorded = asdict(self)
        for name in ADDED_LATER:
            if recorded[name] == getattr(Feature, name):
                del recorded[name]
        if self.encoder is None:
            del recorded["encoder"], recorded["encoder_output"]
        else:
            recorded["encoder"] = network_file.checksum(Path(self.encoder))
        return recorded

    @property
    def bands(self) -> int:
        """Values of one spectrum: mel bands, bins, coefficients, or units of an encoder."""
        return {"linear": self.n_fft // 2 + 1, "mfcc": self.n_mfcc}.get(self.kind, self.n_mels)

    @property
    def dims(self) -> int:
        """Length of one window vector."""
        return self.frames * self.bands

    @property
    def is_in_decibels(self) -> bool:
        """Whether spectra are levels in dB of bands of known frequency: neither coefficients nor embeddings are."""
        return self.encoder is None and self.kind in ("log_mel", "linear")

    @property
    def in_words(self) -> str:
        """The setting that says what spectra are, for messages."""
        return f"`feature.kind: {self.kind}`" if self.encoder is None else "`feature.encoder`, which takes waveforms"

    def band_edges(self, sample_rate: int) -> np.ndarray:
        """Edges and centres of the bands, `[bands + 2]` in hertz; band k has edges k and k + 2.

        Only for spectra in decibels.
        """
        return band_edges(self.kind, self.bands, sample_rate, self.fmin, self.fmax)
