"""The section `augmentation`: random changes of the windows, or of the waveforms, that a detector is trained on."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ganad_tf.config.feature import Feature
from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range

LARGEST_GAIN_DB = 60.0
LONGEST = 100_000  # spectra


@dataclass(frozen=True)
class WaveformAugmentation:
    """`augmentation.waveform`: changed copies of the normal training clips, made once, when clips are prepared.

    The changes are applied in the order of the attributes, each drawn uniformly from its range.

    Attributes:
      copies: Copies of each clip, all different; 0 for none.
      pitch_semitones: Largest shift of the pitch, up or down.
      speed: Largest change of the speed, as a share of it; the pitch stays.
      time_shift_seconds: Largest rotation of a clip in time.
      filters: Kinds of filters, of which each copy passes one: a Butterworth filter of fourth order with random edges.
      noise_snr_db: Lowest and highest ratio of the sound to white noise that is added, in dB; None for none.
      background: Folder of recordings, of which a random stretch is added to each copy; None for none.
      background_snr_db: Lowest and highest ratio of the sound to that background, in dB.
      gain_db: Largest gain or attenuation, in dB; values beyond full scale are not clipped.
    """

    copies: int = 0
    pitch_semitones: float = 0.0
    speed: float = 0.0
    time_shift_seconds: float = 0.0
    filters: list[Literal["low_pass", "high_pass", "band_pass"]] = field(default_factory=list)
    noise_snr_db: list[float] | None = None
    background: Location | None = None
    background_snr_db: list[float] = field(default_factory=lambda: [0.0, 20.0])
    gain_db: float = 0.0

    def __post_init__(self) -> None:
        in_range("augmentation.waveform.copies", self.copies, 0, 1000)
        in_range("augmentation.waveform.pitch_semitones", self.pitch_semitones, 0, 24)
        in_range("augmentation.waveform.speed", self.speed, 0, 0.9)
        in_range("augmentation.waveform.time_shift_seconds", self.time_shift_seconds, 0, 86400)
        in_range("augmentation.waveform.gain_db", self.gain_db, 0, LARGEST_GAIN_DB)
        for name in ("noise_snr_db", "background_snr_db"):
            span = getattr(self, name)
            if span is not None and not (len(span) == 2 and -100 <= span[0] <= span[1] <= 100):
                raise ValueError(
                    f"expected the lowest and the highest ratio for `augmentation.waveform.{name}`, from -100 to 100 "
                    f"dB, such as [0, 20]. Received: {span}."
                )
        changes = ("pitch_semitones", "speed", "time_shift_seconds", "filters", "noise_snr_db", "background", "gain_db")
        if bool(self.copies) != any(getattr(self, name) for name in changes):
            raise ValueError(
                "expected both `augmentation.waveform.copies` and a change of them, such as `gain_db`, or neither. "
                f"Received: copies={self.copies}."
            )

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify the copies: those that are not the default, the background by its folder."""
        return {key: value for key, value in asdict(self).items() if value != _DEFAULTS[key]}


_DEFAULTS = asdict(WaveformAugmentation())


@dataclass(frozen=True)
class Augmentation:
    """`augmentation`: random changes of the training windows, other ones in each step; off by default.

    Validation, calibration and test clips, the standardisation and the density's fit see clean clips. Detectors of
    folds are trained with it too.

    Attributes:
      gain_db: Largest gain or attenuation of a window, in dB; drawn uniformly.
      mixup: Parameter alpha of the Beta distribution of the share with which a window is mixed with another one of its
        batch (Zhang et al. 2018); 0 for none.
      band_mask: Most neighbouring bands of a window that are replaced by their mean (SpecAugment, Park et al. 2019).
      time_mask: Most consecutive spectra of a window that are replaced so.
      time_shift: Most spectra by which a window begins earlier or later in its clip.
      waveform: Changed copies of the clips.
    """

    gain_db: float = 0.0
    mixup: float = 0.0
    band_mask: int = 0
    time_mask: int = 0
    time_shift: int = 0
    waveform: WaveformAugmentation = field(default_factory=WaveformAugmentation)

    def __post_init__(self) -> None:
        in_range("augmentation.gain_db", self.gain_db, 0, LARGEST_GAIN_DB)
        in_range("augmentation.mixup", self.mixup, 0, 100)
        for name in ("band_mask", "time_mask", "time_shift"):
            in_range(f"augmentation.{name}", getattr(self, name), 0, LONGEST)

    @property
    def changes_windows(self) -> bool:
        """Whether windows are changed once they are cut out of their clip."""
        return bool(self.gain_db or self.mixup or self.band_mask or self.time_mask)

    def check_feature(self, feature: Feature) -> None:
        """Checks that windows of these features can be changed so.

        Raises:
          ValueError: If they can't.
        """
        if self.gain_db and not (feature.is_in_decibels and feature.log == "baseline"):
            reason = "`feature.log: relative_80db`" if feature.is_in_decibels else feature.in_words
            raise ValueError(
                f"expected no `augmentation.gain_db` with {reason}, whose values do not rise with the level. "
                f"Received: {self.gain_db}."
            )
        for name, size, of in (("band_mask", feature.bands, "bands"), ("time_mask", feature.frames, "frames")):
            if getattr(self, name) >= size:
                raise ValueError(
                    f"expected `augmentation.{name}` below the {size} {of} of a window. "
                    f"Received: {getattr(self, name)}."
                )

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify detectors: those that are not the default."""
        of_windows = [each for each in fields(self) if each.name != "waveform"]
        recorded = {each.name: getattr(self, each.name) for each in of_windows}
        recorded = {each.name: recorded[each.name] for each in of_windows if recorded[each.name] != each.default}
        return recorded | ({"waveform": self.waveform.as_recorded()} if self.waveform.copies else {})
