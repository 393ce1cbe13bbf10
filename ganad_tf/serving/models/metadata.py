"""Reader of `ganad.json`, the metadata beside every exported model. No TensorFlow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError


def read(path: Path, check: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Reads and checks the metadata of a model.

    Args:
      path: The file.
      check: Raises LookupError, TypeError or ValueError if an entry is missing or wrong.

    Raises:
      DataError: If the file can't be read, or `ganad export` has not written it.
    """
    try:
        metadata = dict(json.loads(path.read_text(encoding="utf-8")))
        Audio(**metadata["config"]["audio"])
        check(metadata)
    except OSError as error:
        raise DataError(f"Expected {path} as `ganad export` writes it: {error.strerror or error}.") from error
    except KeyError as error:
        raise DataError(f"Expected {path} as `ganad export` writes it, but it lacks the entry {error}.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"Expected {path} as `ganad export` writes it, but its content is wrong: {error}.") from error
    return metadata
