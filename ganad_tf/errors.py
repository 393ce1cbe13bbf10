"""Errors that a user can fix. Each message says what was expected, what was received, where, and what to do."""


class GanadError(Exception):
    """Base class: ends a command with exit code 2 and one sentence instead of a traceback."""


class ConfigError(GanadError):
    """A setting is unknown, of the wrong type, impossible, or differs from the one that a result was made with."""


class DataError(GanadError):
    """A recording, a cache or a result file is missing, damaged, or not what its name says."""


class ThresholdError(DataError):
    """The training scores determine no threshold, as those of a single clip; scores, AUC and pAUC need none."""


class HaltError(DataError):
    """Something all further work needs has failed, so the command ends; no recording or machine type is at fault."""


class WriteError(HaltError):
    """A file or directory can't be written, as on a full disk; further writes there would fail too."""


class StorageError(HaltError):
    """An object store can't be read or written, also after several attempts; no file of it is at fault."""


class MemoryShortageError(DataError):
    """A recording is intact but too long for the available memory.

    Args:
      path: The recording.
    """

    def __init__(self, path: object) -> None:
        self._path = path
        super().__init__(
            f"{path}: expected enough memory for this recording, but there is too little; close other programs, "
            "or cut the recording into shorter ones."
        )

    def __reduce__(self) -> tuple[type["MemoryShortageError"], tuple[object]]:
        return type(self), (self._path,)


class TrainingError(GanadError):
    """Training produced something that must not be saved, such as a NaN loss."""


class ExportError(GanadError):
    """A trained detector can't be exported, or the exported model does not give the detector's scores."""


class InputError(GanadError):
    """The input of an exported model does not match its signature; the message names the field."""


class KerasBackendError(GanadError, ImportError):
    """Keras is configured with a backend or float type that the detectors and features do not support."""


class StageInterrupt(KeyboardInterrupt):
    """Ctrl-C during a stage.

    Args:
      doing: The interrupted work, such as `training fan`.
      kept: The part of it that is kept, such as `7 of 100 epochs are kept`.
    """

    def __init__(self, doing: str, kept: str) -> None:
        super().__init__(doing)
        self.doing = doing
        self.kept = kept
