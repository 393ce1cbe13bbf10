"""Scores for TensorBoard: how they are distributed, how well they tell, and the latent vectors behind them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins import projector
from tensorboard.plugins.pr_curve import summary as pr_curve

from ganad_tf.files import atomic
from ganad_tf.plotting import spectrograms
from ganad_tf.results.metrics import auc, roc_curve
from ganad_tf.tensorboard.writer import remove_events

RUN = "scores"
LABELLED = "dev test labels"  # before the name of all that has seen them
VECTORS, COLUMNS = "latent.tsv", "latent_clips.tsv"

Scored = tuple[Sequence[int], Sequence[float]]  # labels and scores of clips


class ScoreBoard:
    """What is known once clips are scored, in a run of its own; what an earlier one wrote is replaced.

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
        """Has everything on the disk."""
        self._writer.close()

    def histogram(self, tag: str, scores: Sequence[float]) -> None:
        """The distribution of scores."""
        with self._writer.as_default(self.step):
            tf.summary.histogram(tag, np.asarray(scores, np.float32))

    def labelled(self, by_id: Mapping[str, Scored]) -> None:
        """Scores of each class; ROC, and precision over recall, as picture and in a tab of their own; the AUC.

        All of it has seen the labels, and its tags say so.

        Args:
          by_id: Labels and scores by machine ID; one that lacks a class has no curves.
        """
        for label, name in enumerate(("normal", "anomaly")):
            pairs = [pair for labels, scores in by_id.values() for pair in zip(labels, scores, strict=True)]
            if of_label := [score for known, score in pairs if known == label]:
                self.histogram(f"{LABELLED}/scores {name}", of_label)
        both = {name: pair for name, pair in by_id.items() if 0 < sum(pair[0]) < len(pair[0])}
        if both:
            with self._writer.as_default(self.step):
                self._curves(both)

    def _curves(self, by_id: Mapping[str, Scored]) -> None:
        roc, precision_recall = {}, {}
        for name, (labels, scores) in by_id.items():
            area = auc(labels, scores)
            false, true = roc[f"id {name}: AUC {100 * area:.1f} %"] = roc_curve(labels, scores)
            precision_recall[f"id {name}"] = (true[1:], precision_of(false[1:], true[1:], sum(labels) / len(labels)))
            tf.summary.scalar(f"{LABELLED}/AUC id {name}", area)
            tag = f"{LABELLED}/precision-recall id {name}"
            shown = pr_curve.pb(tag, np.asarray(labels, bool), _from_0_to_1(np.asarray(scores)))
            tf.summary.experimental.write_raw_pb(shown.SerializeToString(), step=self.step)
        picture = spectrograms.rates(roc, precision_recall)
        tf.summary.image(f"{LABELLED}/ROC and precision-recall", picture[np.newaxis])

    def latent(self, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]) -> None:
        """Vectors for the projector.

        Args:
          vectors: `[clips, latent]`.
          columns: What is known of each: by heading, `[clips]` texts. Two or more headings.
        """
        _write_tsv(self.directory / VECTORS, [[f"{value:.6g}" for value in vector] for vector in vectors])
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        _write_tsv(self.directory / COLUMNS, rows)
        config = projector.ProjectorConfig()
        embedding = config.embeddings.add()
        embedding.tensor_name = "latent vectors of clips"
        embedding.tensor_path, embedding.metadata_path = VECTORS, COLUMNS
        projector.visualize_embeddings(str(self.directory), config)


def precision_of(false: np.ndarray, true: np.ndarray, share: float) -> np.ndarray:
    """Precision at points of the ROC curve, the first one, where nothing is called anomalous, apart.

    Args:
      false: False positive rates, `[points]`.
      true: True positive rates, `[points]`.
      share: Of the anomalies among all clips.

    >>> precision_of(np.array([0.0, 0.5]), np.array([0.5, 1.0]), share=0.5).tolist()
    [1.0, 0.6666666666666666]
    """
    return share * true / (share * true + (1 - share) * false)


def _from_0_to_1(scores: np.ndarray) -> np.ndarray:
    """Their share of the way from the lowest to the highest; which is above which stays."""
    span = scores.max() - scores.min()
    return (scores - scores.min()) / (span or 1.0)


def _write_tsv(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)
