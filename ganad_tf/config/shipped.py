"""Configurations that come with the package."""

from pathlib import Path
from typing import Any

from ganad_tf.config import layers

RECOMMENDED = "recommended.yaml"


def shipped(name: str) -> Path:
    """Path of a file in `yaml/`, which is inside an installed package and beside it in a checkout."""
    inside, beside = (Path(__file__).parents[level] / "yaml" / name for level in (1, 2))
    return inside if inside.exists() else beside


def recommended() -> dict[str, Any]:
    """Sections of the recommended settings for recordings of one's own, which may have any sample rate."""
    return layers.read_yaml(shipped(RECOMMENDED)) | {"audio": {"resample": True}}
