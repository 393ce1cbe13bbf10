"""Versions that the results of all workers have to share; read without importing the libraries."""

import platform
from collections.abc import Mapping
from importlib import metadata

from ganad_tf import __version__
from ganad_tf.errors import ConfigError

LIBRARIES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python, of this package, and of the libraries that scores depend on."""
    found = {"Python": platform.python_version(), "ganad_tf": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def refuse_others(here: Mapping[str, str], there: Mapping[str, str], host: str) -> None:
    """Refuses a worker whose results may differ from those of this process.

    Raises:
      ConfigError: Names all versions that differ.
    """
    expected = [f"{name} {version}" for name, version in here.items() if there.get(name) != version]
    received = [f"{name} {there.get(name, 'none')}" for name, version in here.items() if there.get(name) != version]
    if expected:
        raise ConfigError(
            f"Expected {', '.join(expected)} on every node of the cluster, as here. Received: {', '.join(received)} "
            f"on {host}."
        )
