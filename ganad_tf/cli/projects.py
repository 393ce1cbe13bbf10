"""The directory that `ganad run FOLDER` writes: configuration, cache, model, results, report and exported models."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.cli import arguments
from ganad_tf.config.reader import nearest
from ganad_tf.datasets.folder_tree import OUTPUT
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results.directory import SELECTION
from ganad_tf.serving.models import metadata, versions


@dataclass(frozen=True)
class Project:
    """The owner of such a directory.

    Attributes:
      path: The directory.
    """

    path: Path

    @property
    def config(self) -> Path:
        """File of the settings, an experiment for all verbs."""
        return self.path / "config.yaml"

    @property
    def selection(self) -> Path:
        """File of the candidates among which the settings of each machine type were selected."""
        return self.path / SELECTION

    @property
    def exported(self) -> Path:
        """Folder of the exported models, one per machine type."""
        return self.path / "exported"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    def directories(self) -> dict[str, str]:
        """Settings of the directories that the stages write."""
        folders = {"cache": "cache", "model": "model", "result": "result", "export": self.exported.name}
        return {f"{name}_directory": str(self.path / folder) for name, folder in folders.items()}

    def exists(self) -> bool:
        """Whether the directory is one of `ganad run FOLDER`."""
        return self.config.is_file() and any((self.path / name).is_dir() for name in ("cache", "model", "exported"))

    def models(self) -> dict[str, Path]:
        """Newest exported model of each machine type.

        Raises:
          DataError: If a model can't be read.
        """
        exported: dict[str, tuple[str, Path]] = {}
        for model in versions.models(self.exported).values():
            version = versions.newest(model)
            about = metadata.read(version / versions.METADATA, lambda entries: entries["machine"])
            candidate = (str(about.get("exported", "")), version)
            exported[about["machine"]] = max(candidate, exported.get(about["machine"], candidate))
        return {machine: version for machine, (_, version) in sorted(exported.items())}

    def choose_model(self, machine: str | None, recordings: Sequence[Path]) -> Path:
        """Exported model for recordings: of the machine type given, of the only one, or of that of their folders' name.

        Raises:
          ConfigError: If it is not clear which.
          DataError: If there is none.
        """
        models = self.models()
        if not models:
            raise DataError(
                f"Expected exported models in {self.exported}, but there are none; `ganad run` the folder again."
            )
        if machine is None and len(models) == 1:
            return next(iter(models.values()))
        if machine is None:
            names = {path.resolve().name if path.is_dir() else path.resolve().parent.name for path in recordings}
            (machine,) = names if len(names) == 1 and names <= models.keys() else (None,)
        if machine is None:
            raise ConfigError(
                f"Expected --machine M, or recordings in one folder of a machine's name, because {self.path} has "
                f"models of {', '.join(models)}."
            )
        if machine not in models:
            raise ConfigError(f"No model of `{machine}` in {self.path}{nearest(machine, models)}")
        return models[machine]


def model_names(machines: Sequence[str]) -> Mapping[str, str]:
    """Names of exported models by machine type: its own, as far as a model's name may have such letters.

    >>> model_names(["fan", "my fan", "my_fan"])
    {'fan': 'fan', 'my fan': 'my_fan', 'my_fan': 'my_fan_2'}
    >>> model_names(["fan 1_2", "fan_1"])
    {'fan 1_2': 'fan_1_2', 'fan_1': 'fan_1'}
    """
    names: dict[str, str] = {}
    for machine in machines:
        letters = [letter if arguments.MODEL_NAME.fullmatch(f"x{letter}") else "_" for letter in machine]
        stem = "".join(letters)
        stem = stem if arguments.MODEL_NAME.fullmatch(stem) else f"machine{stem}"
        numbered = (f"{stem}_{number}" for number in itertools.count(2))
        names[machine] = next(name for name in itertools.chain([stem], numbered) if name not in names.values())
    return names


def beside(folder: Path) -> Path:
    """Directory `<folder>-ganad` beside a folder; links keep their name, `.` has that of the folder.

    Raises:
      ConfigError: If there is nothing beside the folder, as with `/`.
    """
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100 - `resolve` would follow links
    if not absolute.name:
        raise ConfigError(f"Expected a folder that has a name. Received: {folder}; set --out DIR.")
    return absolute.with_name(absolute.name + OUTPUT)


def shown(path: Path) -> str:
    """Shortest form of a path, relative to the working directory or absolute."""
    try:
        return min(os.path.relpath(path), str(path), key=len)
    except ValueError:  # on another drive
        return str(path)
