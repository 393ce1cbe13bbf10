"""Decisions of the scored clips: a table of false alarms and detections, and a warning of too many alarms."""

import csv
import logging
import math
from collections.abc import Iterable, Sequence

from ganad_tf.clips import Clip, by_id
from ganad_tf.errors import DataError
from ganad_tf.results import score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.evaluate import MachineResult
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)

FEWEST = 6  # clips from which a share of alarms means something
MOST = 1 / 3  # of clips that are not known to be anomalous

REASONS = (
    "if the machine is healthy, they differ from the training recordings in something else (another microphone, "
    "position or gain, another load or speed, other noise around it, another machine), or those are too few"
)


def read(run: MachineRun) -> list[tuple[Clip, bool]]:
    """Test clips of one machine type with their decisions; empty without decisions, as when there is no threshold.

    Raises:
      DataError: If a file of decisions can't be read.
    """
    results = MachineResults.of(run)
    decided = []
    for machine_id, clips in by_id(run.listing.clips_of("test")).items():
        path = results.decisions(machine_id)
        if not path.exists():
            continue
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                by_name = {row[0]: row[1].strip() == "1" for row in csv.reader(stream)}
        except (OSError, UnicodeDecodeError, csv.Error, IndexError) as error:
            raise DataError(f"Can't read the decisions in {path} ({error}); run `ganad score` again.") from error
        decided += [(clip, by_name[clip.name]) for clip in clips if clip.name in by_name]
    return decided


def warn_of_scored(runs: Iterable[MachineRun]) -> None:
    """Warns of machine types of whose clips too many are called anomalous; clips labelled as anomalies don't count."""
    for run in runs:
        clips = f"test clips of {run.machine} that are not labelled as anomalies"
        warn(clips, [is_anomaly for clip, is_anomaly in read(run) if clip.label != 1])


def warn(clips: str, decisions: Sequence[bool]) -> None:
    """Warns if more than `MOST` of at least `FEWEST` clips are called anomalous, with the likely reasons.

    Args:
      clips: Name of the clips, for the message.
      decisions: Whether each clip is called anomalous; without those that are known to be.
    """
    n_alarms = sum(decisions)
    if len(decisions) >= FEWEST and n_alarms > MOST * len(decisions):
        logger.warning("%d of %d %s are called anomalous; %s.", n_alarms, len(decisions), clips, REASONS)


def table(runs: Sequence[MachineRun], results: Sequence[MachineResult]) -> str:
    """Formats decisions and AUC as text, one line per machine type.

    Args:
      runs: One per machine type.
      results: Their areas, in the same order.
    """
    head = f"{'machine':<16}{'training':>9}{'normal':>8}{'false alarms':>14}{'anomaly':>9}{'detected':>10}{'AUC':>8}"
    lines = [head]
    for run, result in zip(runs, results, strict=True):
        clips = run.listing.clips_of("test")
        decided = read(run)
        n_training = len(score_files.read_scores(MachineResults.of(run).train_scores))
        counts = []
        for label in (0, 1):
            alarms = [is_anomaly for clip, is_anomaly in decided if clip.label == label]
            counts += [sum(clip.label == label for clip in clips), sum(alarms) if decided else "n/a"]
        area = "n/a" if math.isnan(result.auc) else f"{100 * result.auc:.2f}"
        row = f"{run.machine:<16}{n_training:>9}{counts[0]:>8}{counts[1]:>14}{counts[2]:>9}{counts[3]:>10}{area:>8}"
        lines.append(row)
    lines.append(
        "training: healthy recordings that it has learned from; normal, anomaly: healthy and broken ones of the test"
    )
    without = [run.machine for run, result in zip(runs, results, strict=True) if math.isnan(result.auc)]
    if without:
        lines.append(f"no AUC of {', '.join(without)}: it takes recordings of the healthy and of the broken machine")
    return "\n".join(lines)
