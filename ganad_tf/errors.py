"""What a user can mend. Each message says what was expected, what came, where, and what to do."""


class GanadError(Exception):
    """Anything that ends a command with exit code 2 and one sentence instead of a traceback."""


class ConfigError(GanadError):
    """A setting is unknown, of the wrong type, impossible, or not the one a result was made with."""


class DataError(GanadError):
    """A recording, a cache or a result file is missing, broken or not what its name promises."""


class ThresholdError(DataError):
    """Training scores give no threshold, such as those of one clip; scores, AUC and pAUC need none."""


class WriteError(DataError):
    """A place can't be written, such as on a full disk; what else would be written there need not be tried."""


class MemoryShortageError(DataError):
    """A recording is not wrong, but too long for the memory that there is.

    Args:
      path: The recording.
    """

    def __init__(self, path: object) -> None:
        super().__init__(
            f"{path}: expected enough memory for this recording, but there is too little; close other programs, "
            "or cut the recording into shorter ones."
        )


class TrainingError(GanadError):
    """Training produced something that must not be kept, such as a loss that is not a number."""


class ExportError(GanadError):
    """A trained detector can't be exported, or what was exported does not score as it does."""


class InputError(GanadError):
    """What was sent to an exported model is not what its signature takes; names the field."""


class KerasBackendError(GanadError, ImportError):
    """Keras is set for another backend or float type than the detectors and features work with."""


class StageInterrupt(KeyboardInterrupt):
    """Ctrl-C in the midst of a stage.

    Args:
      doing: What was being done, such as `training fan`.
      kept: What of it is kept, such as `7 of 100 epochs are kept`.
    """

    def __init__(self, doing: str, kept: str) -> None:
        super().__init__(doing)
        self.doing = doing
        self.kept = kept
