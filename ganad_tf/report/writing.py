"""The verb `report`: result directories → page, pictures and tables in one folder."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import comparison
from ganad_tf.errors import ConfigError
from ganad_tf.report import facts, page, plots, tables, views
from ganad_tf.report.facts import MachineFacts, ScoredClip
from ganad_tf.report.page import Card, MachinePage, Picture, SystemPage, in_percent
from ganad_tf.report.sound import Embedded

SOUND_MB = 12  # of recordings in the page; others are links
CHALLENGE = ("dcase2020", "imported")  # layouts whose machine types are those of the published figures
PAGE, PLOTS = "report.html", "plots"
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def write(
    directories: Sequence[Path], out: Path, *, n_clips: int = 3, progress: Progress = lambda items, _: items
) -> Path:
    """Writes `report.html`, `report.md`, `machines.csv`, `clips.csv` and `plots/`.

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
    sounds = Embedded(out, SOUND_MB)
    todo = [(name, number, own) for name, machines in gathered.items() for number, own in enumerate(machines)]
    pages: dict[str, list[MachinePage]] = {name: [] for name in names}
    for name, number, own in progress(todo, len(todo)):
        pages[name].append(_machine(f"{_key(names, name)}-{number}", own, out / PLOTS, sounds, n_clips))
    systems = [
        SystemPage(_key(names, name), name, _about(machines[0].facts), machines) for name, machines in pages.items()
    ]
    beside = _compared(directories, out) if len(directories) > 1 else None
    page.write(out / PAGE, systems, beside)
    tables.write_markdown(out / "report.md", systems, beside)
    tables.write_machines(out / "machines.csv", systems)
    tables.write_clips(out / "clips.csv", systems)
    return out / PAGE


def _key(names: Sequence[str], name: str) -> str:
    return f"system-{names.index(name)}"


def _about(own: MachineFacts) -> str:
    if own.config.ensemble.members:
        return f"Ensemble of {' and '.join(Path(member).name for member in own.config.ensemble.members)}."
    scorer = own.config.scorer
    by = "its own score equation" if scorer.name == "paper" else f"the density of its residual ({scorer.density})"
    return f"{own.config.model.name}, judged by {by}."


def _compared(directories: Sequence[Path], out: Path) -> page.Comparison:
    systems = comparison.read_systems([str(directory) for directory in directories])
    rows = [*comparison.published_systems(), *systems, comparison.best_of(systems)]
    path = out / PLOTS / "comparison.png"
    plots.plot_bars(path, comparison.bars(rows))
    alt = "Bars of AUC and pAUC of every system for each machine type; the numbers are in the table above."
    return page.Comparison(comparison.table(rows), comparison.NOTE, Picture(path, alt))


def _machine(key: str, own: MachineFacts, place: Path, sounds: Embedded, n_clips: int) -> MachinePage:
    title = own.machine if own.mode == "dev" else f"{own.machine}, {own.mode}"
    return MachinePage(
        key=key,
        title=title,
        facts=own,
        published=[
            (system.name, system.areas[own.machine])
            for system in comparison.published_systems()
            if own.mode == "dev" and own.machine in system.areas and own.config.dataset.name in CHALLENGE
        ],
        pictures=list(_pictures(own, title, place / key)),
        kinds=_cards(own, place / key, sounds, n_clips),
        made=_made(own),
    )


def _pictures(own: MachineFacts, title: str, place: Path) -> Iterator[Picture]:
    by_id, kinds = own.by_id(), [(0, "normal"), (1, "anomalous")] if own.is_labelled else [(None, "new")]
    medians = [
        f"median of {len(scores)} {name} clips {np.median(scores):.3g}"
        for label, name in kinds
        if (scores := [each.score for each in own.scored if each.clip.label == label])
    ]
    path = place / "scores.png"
    names = ("normal", "anomaly") if own.is_labelled else ("new recordings", "")
    plots.plot_histograms(path, {title: by_id}, {title: own.threshold}, training=own.train_scores, names=names)
    alt = f"Histogram of the anomaly scores of {title}: {', '.join(medians)}, threshold {own.threshold:.3g}."
    yield Picture(path, alt, "Scores of the test clips, of the normal training clips, and the threshold")
    if own.is_labelled and not math.isnan(own.rows[-1].auc.value):
        path = place / "roc.png"
        plots.plot_rocs(path, {title: by_id}, own.config.max_fpr)
        areas = [f"id {row.name} AUC {in_percent(row.auc.value)}" for row in own.rows[:-1]]
        caption = f"ROC curves; the pAUC counts up to a false positive rate of {own.config.max_fpr:g}"
        yield Picture(path, f"ROC curves of {title}: {', '.join(areas)}.", caption)
    history = (own.training or {}).get("history")
    if history:
        path = place / "curves.png"
        plots.plot_curves(path, history)
        ends = [f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, values in history.items()]
        yield Picture(path, f"Training curves of {title}: {', '.join(ends)}.", "Losses by epoch")


def _cards(own: MachineFacts, place: Path, sounds: Embedded, n_clips: int) -> dict[str, list[Card]]:
    kinds = own.chosen(n_clips)
    chosen = list(dict.fromkeys(each.clip for members in kinds.values() for each in members))
    seen = dict(views.look(own, chosen))
    levels = [np.percentile(each.log_mel, [1, 99.9]) for each in seen.values()]
    lowest, highest = float(min(low for low, _ in levels)), float(max(high for _, high in levels))
    residuals = [each.log_mel - each.reconstruction for each in seen.values() if each.reconstruction is not None]
    farthest = max((float(np.percentile(np.abs(values), 99.5)) for values in residuals), default=1.0)
    pictures, players = {}, {}
    for number, clip in enumerate(chosen):
        path = place / f"clip_{number:02d}.png"
        plots.plot_clip(path, seen[clip], (lowest, highest), farthest)
        pictures[clip] = Picture(path, f"Spectrograms of {clip.name}: {_words(seen[clip])}.")
        is_there = own.config.dataset.name != "imported"
        players[clip] = sounds.player(own.listing.directory / clip.file, own.config.audio) if is_there else None
    return {
        kind: [
            Card(
                name=each.clip.name,
                score=each.score,
                verdict=_verdict(each),
                bands=_bands(seen[each.clip]),
                image=pictures[each.clip],
                sound=players[each.clip],
                silence="Imported as a log-mel: there is no recording to listen to.",
            )
            for each in members
        ]
        for kind, members in kinds.items()
    }


def _verdict(each: ScoredClip) -> str:
    decision = f"{'above' if each.is_anomaly else 'below'} the threshold"
    return f"{page.LABELS[each.clip.label]}, {decision}" if each.clip.label is not None else decision


def _bands(seen: plots.Seen) -> str:
    return ", ".join(f"{band.low_hz:.0f} to {band.high_hz:.0f} Hz ({100 * band.share:.0f} %)" for band in seen.bands)


def _words(seen: plots.Seen) -> str:
    if seen.reconstruction is None:
        return "the sound"
    return f"the sound, its reconstruction, and the residual, largest at {_bands(seen)}"


def _made(own: MachineFacts) -> dict[str, Any]:
    """How the results were made, line by line."""
    training = own.training or {}
    made: dict[str, Any] = {
        "command": own.origin["command"] or "a script",
        "recordings": own.config.data_directory(own.mode),
        "fingerprint of features and test clips": own.origin.get("cache", "that of the members"),
        "fingerprint of the training clips": training.get("cache", "that of the members"),
    }
    if training:
        made["training took"] = f"{training['seconds']} s"
        made |= {f"{part} clips": count for part, count in training["n_clips"].items()}
        made |= {f"version of {name}": version for name, version in training["versions"].items()}
    return made | own.origin["settings"]
