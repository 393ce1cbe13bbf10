"""One clip of a cache: the place of its log-mel, and what is known about its recording."""

from dataclasses import dataclass

from ganad_tf.clips import Clip


@dataclass(frozen=True)
class Entry:
    """The location of a clip's log-mel, and what is known about its recording.

    Attributes:
      clip: The clip.
      shard: File name of the shard.
      index: Index of the record in the shard.
      frames: Number of spectra.
      sha256: Checksum of the recording's file; empty if unknown, as in caches of earlier versions.
      remarks: Remarks of `sound_checks` on the sound.
      sound: Statistics of the waveform (`recording_check`); empty if unknown, as in caches of earlier versions.
    """

    clip: Clip
    shard: str
    index: int
    frames: int
    sha256: str = ""
    remarks: tuple[str, ...] = ()
    sound: tuple[float, ...] = ()
