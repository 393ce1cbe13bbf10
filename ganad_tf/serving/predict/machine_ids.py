"""The machine that a file is of, for models that need to know. No TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

from ganad_tf.errors import DataError, InputError


def machine_of(path: Path, known: Sequence[str], given: str | None = None) -> str:
    """Machine ID of a file: the given one, or the one in its name or in the names of its folders, as `id_00`.

    Args:
      path: The file.
      known: Machine IDs that the model knows.
      given: Machine ID that the user has given for all files.

    Raises:
      InputError: If the given ID is not known to the model.
      DataError: If none is given, and the path names none of them or several.

    >>> machine_of(Path("fan/test/normal_id_02_00000007.wav"), ["00", "02"])
    '02'
    """
    if given is not None:
        if given not in known:
            raise InputError(f"--machine-id: expected one of {', '.join(known)}. Received: {given}.")
        return given
    named = {
        machine_id for machine_id in known for part in path.parts if f"_id_{machine_id}_" in f"_{Path(part).stem}_"
    }
    if len(named) != 1:
        raise DataError(
            f"{path}: expected --machine-id, or one machine's ID in the name, such as id_{known[0]}; this model judges "
            f"a clip as that of one of the machines {', '.join(known)}."
        )
    return named.pop()
