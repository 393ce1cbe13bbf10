"""Configurations that come with the package."""

from pathlib import Path


def shipped(name: str) -> Path:
    """Path of a file in `yaml/`, which is inside an installed package and beside it in a checkout."""
    inside, beside = (Path(__file__).parents[level] / "yaml" / name for level in (1, 2))
    return inside if inside.exists() else beside
