"""The machine types of which a verb has failed, for `--only-failed`: one small file per directory, verb and mode."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.errors import DataError
from ganad_tf.files import atomic, checksummed


@dataclass(frozen=True)
class Failures:
    """The owner of such a file.

    Attributes:
      path: The file; absent if nothing has failed.
    """

    path: Path

    @classmethod
    def of(cls, directory: str, verb: str, mode: str) -> "Failures":
        """The file of a verb in the directory that it writes."""
        return cls(Path(directory, f"failed_{verb}_{mode}.json"))

    def read(self) -> dict[str, str]:
        """Reasons by machine type; none without a file.

        Raises:
          DataError: If the file can't be read.
        """
        if not self.path.exists():
            return {}
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(machine): str(reason) for machine, reason in known.items()}
        except checksummed.READ_ERRORS as error:
            raise DataError(f"Can't read {self.path} ({error}); run the command without --only-failed.") from error

    def update(self, machines: Iterable[str], errors: Mapping[str, Exception]) -> None:
        """Notes the result of a command; what is known of other machine types stays.

        Args:
          machines: Machine types that the command was run for.
          errors: Errors of those that have failed.
        """
        tried = set(machines)
        try:
            known = self.read()
        except DataError:  # it is replaced
            known = {}
        kept = {machine: reason for machine, reason in known.items() if machine not in tried}
        kept |= {machine: " ".join(str(error).split()) for machine, error in errors.items()}
        if kept:
            atomic.write_text(self.path, json.dumps(kept, indent=1, sort_keys=True) + "\n")
        else:
            self.path.unlink(missing_ok=True)
