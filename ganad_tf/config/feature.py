"""The section `feature`: log-mel spectra, or embeddings of the waveform."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ganad_tf.config.paths import Location
from ganad_tf.files import network_file

LONGEST_SPECTRUM = 65536  # samples; a larger FFT is more likely a typing error than intended


@dataclass(frozen=True)
class Feature:
    """`feature`: log-mel spectra, or embeddings by a frozen network, and their stacking into windows.

    Attributes:
      n_mels: Mel bands per spectrum; with an encoder, units of its embeddings, which take the place of spectra.
      frames: Consecutive spectra per window.
      n_fft: Samples per spectrum.
      hop_length: Samples from one spectrum to the next.
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

    n_mels: int = 128
    frames: int = 5
    n_fft: int = 1024
    hop_length: int = 512
    power: float = 2.0
    pad_mode: Literal["reflect", "constant"] = "reflect"
    log: Literal["baseline", "relative_80db"] = "baseline"
    standardize: bool | None = None
    window_hop: int = 1
    encoder: Location | None = None
    encoder_output: str = ""

    def __post_init__(self) -> None:
        for name in ("n_mels", "frames", "n_fft", "hop_length", "window_hop"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected a positive `feature.{name}`. Received: {getattr(self, name)}.")
        if self.encoder is not None:
            self._refuse_settings_of_spectra()
            return
        if self.n_fft % 2 or self.n_fft > LONGEST_SPECTRUM:
            raise ValueError(f"expected an even `feature.n_fft` of at most {LONGEST_SPECTRUM}. Received: {self.n_fft}.")
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"expected `feature.hop_length` of at most `feature.n_fft`, so that no sample is skipped. "
                f"Received: hop_length={self.hop_length}, n_fft={self.n_fft}."
            )
        if self.n_mels > self.n_fft // 2:
            raise ValueError(
                "expected `feature.n_mels` of at most half of `feature.n_fft`. "
                f"Received: n_mels={self.n_mels}, n_fft={self.n_fft}."
            )
        if not 0 < self.power <= 4:
            raise ValueError(f"expected `feature.power` above 0 and at most 4. Received: {self.power}.")

    def _refuse_settings_of_spectra(self) -> None:
        for name in ("n_fft", "hop_length", "power", "pad_mode", "log"):
            if getattr(self, name) != getattr(Feature, name):
                raise ValueError(
                    f"expected no `feature.{name}` with `feature.encoder`, which takes waveforms. "
                    f"Received: {getattr(self, name)}."
                )

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify detectors; settings added later only where they are not the default.

        An encoder is recorded by the SHA-256 of its contents, wherever it lies.

        Raises:
          DataError: If there is no encoder where the settings say.
        """
        recorded = asdict(self)
        if self.window_hop == Feature.window_hop:
            del recorded["window_hop"]
        if self.encoder is None:
            del recorded["encoder"], recorded["encoder_output"]
        else:
            recorded["encoder"] = network_file.checksum(Path(self.encoder))
        return recorded

    @property
    def dims(self) -> int:
        """Length of one window vector."""
        return self.frames * self.n_mels
