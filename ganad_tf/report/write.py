"""The verb `report`: result directories → page, pictures and tables in one folder."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.errors import ConfigError
from ganad_tf.plotting import charts
from ganad_tf.report import cards, facts, page, tables
from ganad_tf.report import systems as compared
from ganad_tf.report.facts import MachineFacts
from ganad_tf.report.page import Comparison, MachinePage, Picture, SystemPage, in_percent
from ganad_tf.report.sound import Embedded
from ganad_tf.results.thresholds import shown

SOUND_MB = 12  # of recordings in the page; others are links
PAGE, PLOTS = "report.html", "plots"
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def write(
    directories: Sequence[Path], out: Path, *, n_clips: int = 3, progress: Progress = lambda items, _: items
) -> Path:
    """Writes `report.html`, the tables as `report.md` and CSV files, and `plots/`.

    Args:
      directories: Result directories.
      out: The folder that they go to.
      n_clips: How many clips of each kind are shown per machine type.
      progress: Shows how far it is.

    Returns:
      The page.

    Raises:
      DataError: If results, recordings, cache or detector are missing or do not belong together.
      ConfigError: If two result directories have the same name.
    """
    names = [directory.resolve().name for directory in directories]
    if len(set(names)) < len(names):
        raise ConfigError(f"Expected result directories with names of their own. Received: {', '.join(names)}.")
    gathered = {name: facts.gather(directory) for name, directory in zip(names, directories, strict=True)}
    beside = compared.with_paper_scores(gathered, directories) if len(directories) > 1 else {}
    sounds = Embedded(out, SOUND_MB)
    todo = [(name, number, own) for name, machines in gathered.items() for number, own in enumerate(machines)]
    pages: dict[str, list[MachinePage]] = {name: [] for name in names}
    for name, number, own in progress(todo, len(todo)):
        pages[name].append(_machine(f"{_key(names, name)}-{number}", own, out / PLOTS, sounds, n_clips))
    systems = [
        SystemPage(_key(names, name), name, _about(machines[0].facts), machines) for name, machines in pages.items()
    ]
    comparison = compared.compare(beside, out / PLOTS / "comparison.png") if beside else None
    page.write(out / PAGE, systems, comparison)
    tables.write(out, systems, comparison)
    _remove_others(out / PLOTS, systems, comparison)
    return out / PAGE


def _key(names: Sequence[str], name: str) -> str:
    return f"system-{names.index(name)}"


def _about(own: MachineFacts) -> str:
    if own.config.ensemble.members:
        return f"Ensemble of {' and '.join(Path(member).name for member in own.config.ensemble.members)}."
    scorer = own.config.scorer
    by = "its own score equation" if scorer.name == "paper" else f"the density of its residual ({scorer.density})"
    return f"{own.config.model.name}, judged by {by}."


def _machine(key: str, own: MachineFacts, place: Path, sounds: Embedded, n_clips: int) -> MachinePage:
    return MachinePage(
        key=key,
        facts=own,
        published=compared.published_for(own),
        pictures=list(_pictures(own, place / key)),
        kinds=cards.draw(own, key, place / key, sounds, n_clips),
        made=_made(own),
    )


def _pictures(own: MachineFacts, place: Path) -> Iterator[Picture]:
    title, by_id = own.title, own.by_id()
    kinds = [(0, "normal"), (1, "anomalous")] if own.is_labelled else [(None, "new")]
    medians = [
        f"median of {len(scores)} {name} clips {np.median(scores):.3g}"
        for label, name in kinds
        if (scores := [each.score for each in own.scored if each.clip.label == label])
    ]
    path = place / "scores.png"
    names = ("normal", "anomaly") if own.is_labelled else ("new recordings", "")
    charts.plot_histograms(path, {title: by_id}, {title: own.threshold}, training=own.train_scores, names=names)
    alt = (
        f"Histogram of the anomaly scores of {title}: {', '.join(medians)}, threshold {shown(own.threshold, digits=3)}."
    )
    yield Picture(path, alt, "Scores of the test clips, of the normal training clips, and the threshold")
    if own.is_labelled and not math.isnan(own.rows[-1].auc.value):
        path = place / "roc.png"
        charts.plot_rocs(path, {title: by_id}, own.config.max_fpr)
        areas = [f"id {row.name} AUC {in_percent(row.auc.value)}" for row in own.rows[:-1]]
        caption = f"ROC curves; the pAUC counts up to a false positive rate of {own.config.max_fpr:g}"
        yield Picture(path, f"ROC curves of {title}: {', '.join(areas)}.", caption)
    history = (own.training or {}).get("history")
    if history:
        path = place / "curves.png"
        charts.plot_curves(path, history)
        ends = [f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, values in history.items()]
        yield Picture(path, f"Training curves of {title}: {', '.join(ends)}.", "Losses by epoch")


def _made(own: MachineFacts) -> dict[str, Any]:
    """How the results were made, line by line."""
    training = own.training or {}
    made: dict[str, Any] = {
        "command": own.origin["command"] or "a script",
        "recordings": own.config.data_directory(own.run.mode),
        "fingerprint of features and test clips": own.origin.get("cache", "that of the members"),
        "fingerprint of the training clips": training.get("cache", "that of the members"),
    }
    if training:
        made["training took"] = f"{training['seconds']} s"
        made |= {f"{part} clips": count for part, count in training["n_clips"].items()}
        made |= {f"version of {name}": version for name, version in training["versions"].items()}
    return made | own.origin["settings"]


def _remove_others(place: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Removes the pictures of an earlier report that are not in this one."""
    machines = [machine for system in systems for machine in system.machines]
    pictures = [picture for machine in machines for picture in machine.pictures]
    pictures += [card.image for machine in machines for kind in machine.kinds.values() for card in kind if card.image]
    pictures += [comparison.picture] if comparison and comparison.picture else []
    kept = {picture.path for picture in pictures}
    for path in (place / "comparison.png", *place.glob("system-*/*.png")):
        if path not in kept:
            path.unlink(missing_ok=True)
    for folder in place.glob("system-*"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
