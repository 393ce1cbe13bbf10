"""Scores test clips in all 19 ways of AEGAN-AD's authors, and says what a choice among them by the labels would gain.

    python tools/aegan_scores.py CONFIG.yaml [--machine ToyCar ...] [--set key=value ...]

The detectors are those that `ganad train CONFIG.yaml` has made, and the clips those of its cache. Per machine type, one
line per score has AUC and pAUC in %, the mean over machine IDs. Higher scores are more anomalous:

    D_maha, D_knn, D_lof, D_cos    distance of a clip's mean embedding f from those of the training clips of all IDs:
                                   Mahalanobis; cosine, summed over the 2 nearest; local outlier factor of 4 neighbours
                                   by the cosine; cosine from their mean
    G_x_2_..., G_x_1_...           squared and absolute error of the reconstruction, summed over a window
    G_z_2_..., G_z_1_..., G_z_cos_...  the same in the latent space, e(x') from e(x), and one minus their cosine
    ..._mean, ..._min, ..._max     over the windows of a clip; the authors' sum is `mean` times the number of windows

The authors report the best of them by (AUC + pAUC) / 2 on the test clips. It is marked `oracle`, for nobody who has no
labels can choose it.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganad_tf import config as configuration
from ganad_tf.cli import terminal
from ganad_tf.clips import Clip, by_id
from ganad_tf.errors import DataError, GanadError
from ganad_tf.results.metrics import auc, pauc
from ganad_tf.run import MachineRun, machine_runs

if TYPE_CHECKING:
    from ganad_tf.models import AEGAN
    from ganad_tf.scoring.clip_scores import ClipFunction

ERRORS = ("G_x_2", "G_x_1", "G_z_2", "G_z_1", "G_z_cos")
REDUCTIONS = ("mean", "min", "max")
NEIGHBORS, LOF_NEIGHBORS = 2, 4


def main() -> int:
    """Prints a table for each machine type; 0 done, 2 something that the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, metavar="CONFIG.yaml")
    parser.add_argument("--machine", nargs="+", default=[], help="machine types; default: all")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value")
    options = parser.parse_args()
    terminal.import_tensorflow()
    from ganad_tf import datasets

    try:
        config = configuration.load(options.config, options.set)
        for run in machine_runs(config, datasets.list_clips(config, "dev", options.machine), "dev"):
            print(f"{run.machine}\n\n{table(areas(scores_of(run)))}\n", flush=True)
    except GanadError as error:
        print(f"aegan_scores: {error}", file=sys.stderr)
        return 2
    return 0


def scores_of(run: MachineRun) -> dict[str, dict[Clip, float]]:
    """Scores of a machine type's test clips, by name and clip."""
    from ganad_tf.cache.directory import Cache
    from ganad_tf.models import AEGAN
    from ganad_tf.scoring import clip_values
    from ganad_tf.scoring.model_directory import ModelDirectory

    model = ModelDirectory.of(run).load()
    if not isinstance(model.detector, AEGAN):
        raise DataError(f"Expected a trained AEGAN. Received: {type(model.detector).__name__}.")
    function, found = clip_function(model.detector), {}
    for split in ("train", "test"):
        cache = Cache(run, split)
        (values,) = clip_values.apply_to_cache(model, [function], cache, cache.current().entries)
        found[split] = values
    training, test = (np.stack(list(values.values())).astype(np.float64) for values in found.values())
    n_errors = len(ERRORS) * len(REDUCTIONS)
    scores = discriminator_scores(training[:, n_errors:], test[:, n_errors:])
    names = [f"{error}_{reduction}" for error in ERRORS for reduction in REDUCTIONS]
    scores |= dict(zip(names, test[:, :n_errors].T, strict=True))
    return {name: dict(zip(found["test"], values, strict=True)) for name, values in scores.items()}


def clip_function(detector: "AEGAN") -> "ClipFunction":
    """Function from windows of clips to `[batch, 15 + units]`: mean, min and max of each error, and the mean f."""
    import tensorflow as tf

    from ganad_tf.scoring.clip_scores import ClipFunction

    def window_step(windows: tf.Tensor) -> list[tf.Tensor]:
        residual, (before, after) = detector.residual(windows), detector.latents(windows)
        cosine = tf.reduce_sum(tf.math.l2_normalize(before, axis=1) * tf.math.l2_normalize(after, axis=1), axis=1)
        squares_and_absolutes = [
            tf.reduce_sum(norm(difference), axis=1)
            for difference in (residual, after - before)
            for norm in (tf.square, tf.abs)
        ]
        return [tf.stack([*squares_and_absolutes, 1 - cosine], axis=1), detector.encode(windows)]

    def clip_step(errors: tf.Tensor, embeddings: tf.Tensor, *, in_pieces: bool) -> tf.Tensor:  # noqa: ARG001
        reductions = [reduce(errors, axis=1) for reduce in (tf.reduce_mean, tf.reduce_min, tf.reduce_max)]
        of_errors = tf.reshape(tf.stack(reductions, axis=2), [-1, len(ERRORS) * len(REDUCTIONS)])
        return tf.concat([of_errors, tf.reduce_mean(embeddings, axis=1)], axis=1)

    units = detector.encode(tf.zeros([1, detector.input_dim])).shape[1]
    return ClipFunction(window_step, clip_step, [[len(ERRORS)], [units]])


def discriminator_scores(training: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
    """The four scores by mean embeddings `[clips, units]`, by name, `[test clips]` each."""
    from sklearn.covariance import EmpiricalCovariance
    from sklearn.metrics.pairwise import cosine_distances
    from sklearn.neighbors import LocalOutlierFactor

    lof = LocalOutlierFactor(min(LOF_NEIGHBORS, len(training) - 1), metric="cosine", novelty=True).fit(training)
    return {
        "D_maha": EmpiricalCovariance().fit(training).mahalanobis(test),
        "D_knn": np.sort(cosine_distances(test, training), axis=1)[:, :NEIGHBORS].sum(axis=1),
        "D_lof": -lof.score_samples(test),
        "D_cos": cosine_distances(test, training.mean(axis=0, keepdims=True))[:, 0],
    }


def areas(scores: dict[str, dict[Clip, float]]) -> dict[str, tuple[float, float]]:
    """AUC and pAUC of each score in %, the means over machine IDs."""
    found = {}
    for name, by_clip in scores.items():
        of_ids = [
            [area([clip.label or 0 for clip in clips], [by_clip[clip] for clip in clips]) for area in (auc, pauc)]
            for clips in by_id(by_clip).values()
        ]
        found[name] = tuple(100 * np.mean(of_ids, axis=0))
    return found


def table(found: dict[str, tuple[float, float]]) -> str:
    """Markdown table: one line per score."""
    best = max(found, key=lambda name: sum(found[name]))
    lines = ["| score | AUC % | pAUC % | |", "|---|---|---|---|"]
    for name, (area, partial) in found.items():
        lines.append(f"| {name} | {area:.1f} | {partial:.1f} | {'oracle' if name == best else ''} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
