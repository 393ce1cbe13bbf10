"""Scores for TensorBoard: distributions, ROC and precision-recall curves, and latent vectors of clips."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins import projector
from tensorboard.plugins.pr_curve import summary as pr_curve

from ganad_tf.files import atomic
from ganad_tf.plotting import charts
from ganad_tf.results.metrics import auc
from ganad_tf.tensorboard.writer import remove_events

RUN = "scores"
LABELLED = "dev test labels"  # prefix of every tag that depends on test labels
VECTORS, COLUMNS = "latent.tsv", "latent_clips.tsv"

Scored = tuple[Sequence[int], Sequence[float]]  # labels and scores of clips


class ScoreSummaries:
    """Summaries of scored clips, in a run of its own; those of an earlier scoring are replaced.

    Args:
      log_dir: The directory that the callbacks were given.
      step: Epochs of the training.
    """

    def __init__(self, log_dir: str | Path, step: int) -> None:
        self.directory = Path(log_dir, RUN)
        self.step = step
        remove_events(self.directory)
        self._writer = tf.summary.create_file_writer(str(self.directory))

    def close(self) -> None:
        """Flushes and closes the event file."""
        self._writer.close()

    def write_histogram(self, tag: str, scores: Sequence[float]) -> None:
        """Writes a histogram of scores."""
        with self._writer.as_default(self.step):
            tf.summary.histogram(tag, np.asarray(scores, np.float32))

    def write_labelled(self, by_id: Mapping[str, Scored]) -> None:
        """Writes histograms by label, AUC, and ROC and precision-recall curves as a picture and in the PR tab.

        All of it has seen the labels, and its tags say so.

        Args:
          by_id: Labels and scores by machine ID; one that lacks a class has no curves.
        """
        for label, name in enumerate(("normal", "anomaly")):
            pairs = [pair for labels, scores in by_id.values() for pair in zip(labels, scores, strict=True)]
            if of_label := [score for known, score in pairs if known == label]:
                self.write_histogram(f"{LABELLED}/scores {name}", of_label)
        both = {name: pair for name, pair in by_id.items() if 0 < sum(pair[0]) < len(pair[0])}
        if both:
            with self._writer.as_default(self.step):
                self._curves(both)

    def _curves(self, by_id: Mapping[str, Scored]) -> None:
        for name, (labels, scores) in by_id.items():
            tf.summary.scalar(f"{LABELLED}/AUC id {name}", auc(labels, scores))
            tag = f"{LABELLED}/precision-recall id {name}"
            curve = pr_curve.pb(tag, np.asarray(labels, bool), _from_0_to_1(np.asarray(scores)))
            tf.summary.experimental.write_raw_pb(curve.SerializeToString(), step=self.step)
        tf.summary.image(f"{LABELLED}/ROC and precision-recall", charts.draw_rates(by_id)[np.newaxis])

    def write_latent_vectors(self, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]) -> None:
        """Writes latent vectors for the projector.

        Args:
          vectors: `[clips, latent]`.
          columns: Texts `[clips]` by heading, shown beside the vectors. Two or more headings.
        """
        _write_tsv(self.directory / VECTORS, [[f"{value:.6g}" for value in vector] for vector in vectors])
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        _write_tsv(self.directory / COLUMNS, rows)
        config = projector.ProjectorConfig()
        embedding = config.embeddings.add()
        embedding.tensor_name = "latent vectors of clips"
        embedding.tensor_path, embedding.metadata_path = VECTORS, COLUMNS
        projector.visualize_embeddings(str(self.directory), config)


def _from_0_to_1(scores: np.ndarray) -> np.ndarray:
    """Scores min-max scaled to [0, 1]; their order is unchanged."""
    span = scores.max() - scores.min()
    return (scores - scores.min()) / (span or 1.0)


def _write_tsv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)
