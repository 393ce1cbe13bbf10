"""The verb `report`: result directories → page, pictures and tables in one folder."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.clips import Progress
from ganad_tf.errors import ConfigError
from ganad_tf.plotting import charts
from ganad_tf.report import clips, facts, page, provenance, systems, tables
from ganad_tf.report.audio_embedder import AudioEmbedder
from ganad_tf.report.facts import MachineSummary
from ganad_tf.report.page import Comparison, MachinePage, Picture, SystemPage, in_percent
from ganad_tf.results.thresholds import format_threshold

AUDIO_MB = 12  # of embedded recordings; the others are links
SEARCHED = {
    "parallel": "Settings that were tried; a line is a trial, the thick one the best",
    "importance": "Share of each setting in the variance of the trials' objective",
}
PAGE, PLOTS = "report.html", "plots"


def write(
    directories: Sequence[Path], out: Path, *, n_clips: int = 3, progress: Progress = lambda items, _: items
) -> Path:
    """Writes `report.html`, the tables as `report.md` and CSV files, and `plots/`.

    Args:
      directories: Result directories.
      out: Folder of the report.
      n_clips: Maximum number of cards per group and machine type.
      progress: Wraps the machine types to show a progress bar.

    Returns:
      Path of the page.

    Raises:
      DataError: If results, recordings, cache or detector are missing, or do not belong together.
      ConfigError: If two result directories have the same name.
    """
    names = [directory.resolve().name for directory in directories]
    if len(set(names)) < len(names):
        raise ConfigError(f"Expected result directories with names of their own. Received: {', '.join(names)}.")
    summaries = {name: facts.gather(directory) for name, directory in zip(names, directories, strict=True)}
    compared = systems.with_paper_scores(summaries, directories) if len(directories) > 1 else {}
    embedder = AudioEmbedder(out, AUDIO_MB)
    todo = [(name, number, summary) for name, machines in summaries.items() for number, summary in enumerate(machines)]
    pages: dict[str, list[MachinePage]] = {name: [] for name in names}
    for name, number, summary in progress(todo, len(todo)):
        pages[name].append(_machine_page(f"{_key(names, name)}-{number}", summary, out / PLOTS, embedder, n_clips))
    system_pages = [
        SystemPage(_key(names, name), name, _about(machines[0].facts), machines) for name, machines in pages.items()
    ]
    comparison = systems.compare(compared, out / PLOTS / "comparison.png") if compared else None
    page.write(out / PAGE, system_pages, comparison)
    tables.write(out, system_pages, comparison)
    _remove_outdated(out / PLOTS, system_pages, comparison)
    return out / PAGE


def _key(names: Sequence[str], name: str) -> str:
    return f"system-{names.index(name)}"


def _about(summary: MachineSummary) -> str:
    if summary.config.ensemble.members:
        return f"Ensemble of {' and '.join(Path(member).name for member in summary.config.ensemble.labels())}."
    scorer = summary.config.scorer
    by = "its own score equation" if scorer.name == "paper" else f"the density of its {scorer.of} ({scorer.density})"
    return f"{summary.config.model.name}, judged by {by}."


def _machine_page(key: str, summary: MachineSummary, plots: Path, embedder: AudioEmbedder, n_clips: int) -> MachinePage:
    return MachinePage(
        key=key,
        facts=summary,
        published=systems.published_for(summary),
        pictures=list(_pictures(summary, plots / key)),
        groups=clips.draw_cards(summary, key, plots / key, embedder, n_clips),
        made=_made(summary),
    )


def _pictures(summary: MachineSummary, directory: Path) -> Iterator[Picture]:
    if summary.scored:
        yield from _pictures_of_scores(summary, directory)
    yield from _pictures_of_search(summary)
    history = (summary.training or {}).get("history")
    if history:
        path = directory / "curves.png"
        charts.plot_curves(path, history)
        ends = [f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, values in history.items()]
        yield Picture(path, f"Training curves of {summary.title}: {', '.join(ends)}.", "Losses by epoch")


def _pictures_of_search(summary: MachineSummary) -> Iterator[Picture]:
    """Pictures that `ganad search` has left where the results are those of its `best.yaml`."""
    directory, machine = Path(summary.config.result_directory).parent.parent, summary.run.machine
    for name, caption in SEARCHED.items():
        path = directory / f"{name}_{machine}.png"
        if path.is_file():
            yield Picture(path, f"{caption}, for {machine}; `trials.csv` beside it has the numbers.", caption)


def _pictures_of_scores(summary: MachineSummary, directory: Path) -> Iterator[Picture]:
    title, by_id = summary.title, summary.by_id()
    kinds = [(0, "normal"), (1, "anomalous")] if summary.is_labelled else [(None, "new")]
    medians = [
        f"median of {len(scores)} {name} {'clip' if len(scores) == 1 else 'clips'} {np.median(scores):.3g}"
        for label, name in kinds
        if (scores := [scored.score for scored in summary.scored if scored.clip.label == label])
    ]
    path = directory / "scores.png"
    names = ("normal", "anomaly") if summary.is_labelled else ("new recordings", "")
    normal = summary.normal.deciding(summary.config.threshold)
    charts.plot_histograms(path, {title: by_id}, {title: summary.threshold}, reference=normal, names=names)
    threshold = format_threshold(summary.threshold, digits=3)
    alt = f"Histogram of the anomaly scores of {title}: {', '.join(medians)}, threshold {threshold}."
    yield Picture(path, alt, "Scores of the test clips, of the normal clips behind the threshold, and the threshold")
    if summary.is_labelled and not math.isnan(summary.rows[-1].auc.value):
        path = directory / "roc.png"
        charts.plot_rocs(path, {title: by_id}, summary.config.max_fpr)
        areas = [f"id {row.name} AUC {in_percent(row.auc.value)}" for row in summary.rows[:-1]]
        caption = f"ROC curves; the pAUC counts up to a false positive rate of {summary.config.max_fpr:g}"
        yield Picture(path, f"ROC curves of {title}: {', '.join(areas)}.", caption)


def _made(summary: MachineSummary) -> dict[str, Any]:
    """Command, fingerprints, versions, duration and settings of the results, by name."""
    training = summary.training or {}
    made: dict[str, Any] = {
        "command": summary.origin["command"] or "a script",
        "recordings": summary.config.data_directory(summary.run.mode),
        "fingerprint of features and test clips": summary.origin.get("cache", "that of the members"),
        "fingerprint of the training clips": training.get("cache", "that of the members"),
    }
    if why := provenance.selection_of(summary.run):
        made["selected"] = why.replace("`", "")
    for name, of_member in summary.members.items():
        made |= {f"{name}: {what}": value for what, value in _learned(of_member).items()}
    if training:
        made |= _learned(training)
        made |= {f"{part} clips": count for part, count in training["n_clips"].items()}
        made |= {f"version of {name}": version for name, version in training["versions"].items()}
    return made | summary.origin["settings"]


def _learned(training: dict[str, Any]) -> dict[str, Any]:
    """Duration of a training, its steps, and what it came to, by name."""
    made: dict[str, Any] = {"training took": f"{training['seconds']} s"}
    if training.get("n_steps"):  # since steps are recorded
        made["steps of the optimizer"] = training["n_steps"]
        share = training["explained_share"]
        made["share of the variance reproduced"] = "unknown" if share is None else f"{share:.0%}"
        made["learned little"] = (training["learned_little"] or "no").replace("`", "")
    return made


def _remove_outdated(plots: Path, pages: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Removes pictures of an earlier report that this one does not show."""
    machines = [machine for system in pages for machine in system.machines]
    pictures = [picture for machine in machines for picture in machine.pictures]
    pictures += [
        card.image for machine in machines for group in machine.groups.values() for card in group if card.image
    ]
    pictures += [comparison.picture] if comparison and comparison.picture else []
    kept = {picture.path for picture in pictures}
    for path in (plots / "comparison.png", *plots.glob("system-*/*.png")):
        if path not in kept:
            path.unlink(missing_ok=True)
    for folder in plots.glob("system-*"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
