"""Evidence for the default scorer: the scorer that detects a weak added sound best, judged on normal recordings alone.

    python tools/evidence.py CONFIG.yaml --machine ToyCar [--set key=value ...]

Of the normal *training* clips a fifth is held out and the detector is trained on the others. A weak sound
of smooth spectrum is added to each held-out clip, in the power domain of its log-mel, and each scorer is
asked to tell the clips with it from those without: `steady` sounds all the time, `bursts` three spectra in
thirty-one (once a second), `rare` five spectra once in the clip. The level is that of the added sound,
averaged over time, against the clip's own mean power in the same mel bands. Neither a test clip nor a
label is looked at.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ganad_tf import config as configuration
from ganad_tf.cli import terminal
from ganad_tf.config.sections import Scorer
from ganad_tf.results.metrics import auc, pauc

if TYPE_CHECKING:
    from ganad_tf.cache.manifest import Entry
    from ganad_tf.run import MachineRun
    from ganad_tf.scoring.model_directory import TrainedDetector

HELD_OUT = 0.2
LEVELS_DB = {"steady": -6.0, "bursts": -6.0, "rare": -8.0}
POOLINGS = {
    "mean": {"pooling": "mean"},
    "max": {"pooling": "max"},
    "gwrp 0.9": {"pooling": "gwrp", "decay": 0.9},
    "gwrp 0.98": {"pooling": "gwrp", "decay": 0.98},
    "lulls 0.98": {"pooling": "lulls", "decay": 0.98},
    "lulls 0.95": {"pooling": "lulls", "decay": 0.95},
}
DENSITIES = {
    "mahalanobis": {"density": "mahalanobis"},
    "gmm": {"density": "gmm", "regularization": 0.1},
    "whitened gmm": {"density": "gmm", "regularization": 0.1, "whiten": True},
    "knn 1": {"density": "knn"},
    "whitened knn 1": {"density": "knn", "whiten": True},
    "whitened knn 2": {"density": "knn", "whiten": True, "neighbors": 2},
}


def main() -> int:
    """Prints one table per kind of added sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG.yaml")
    parser.add_argument("--machine", required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value")
    options = parser.parse_args()

    terminal.import_tensorflow()
    from ganad_tf import datasets
    from ganad_tf.cache import spectra
    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.cache.validation import split_by_file
    from ganad_tf.run import MachineRun
    from ganad_tf.scoring import clip_values

    config = configuration.load(options.config, options.set).for_machine(options.machine)
    (listing,) = datasets.list_clips(config, "dev", [options.machine])
    run = MachineRun(config, listing, "dev")
    if config.dataset.name != "imported":
        prepare_cache(run, "train")
    entries, cached = Cache(run, "train").current().entries, spectra.of(Cache(run, "train"))
    kept, held_out = split_by_file(entries, HELD_OUT, config.seed)
    known, unknown = ([log_mel for _, log_mel in cached.read(part)] for part in (kept, held_out))
    model = trained(run, kept, known)
    scorers = [Scorer(name="density", **pooling) for pooling in POOLINGS.values()]
    of_clip = clip_values.clip_function(model, [clip_values.vector_function(model, scorer) for scorer in scorers])

    def residuals(log_mels: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[value.numpy() for value in of_clip(log_mel)] for log_mel in log_mels]).swapaxes(0, 1)

    normal, before = residuals(known), residuals(unknown)
    for kind, level_db in LEVELS_DB.items():
        print(f"\n{kind}, {level_db:g} dB; {len(known)} normal clips, {len(unknown)} held out\n")
        print_table(normal, before, residuals(with_sound(unknown, kind, level_db)), config.seed)
    return 0


def trained(run: "MachineRun", entries: "Sequence[Entry]", log_mels: Sequence[np.ndarray]) -> "TrainedDetector":
    """A detector that is trained on these clips alone, standardised by their log-mels, without validation."""
    from ganad_tf import runtime
    from ganad_tf.cache import spectra
    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.windows import Source
    from ganad_tf.features import Normalizer
    from ganad_tf.scoring.model_directory import TrainedDetector
    from ganad_tf.training import build, train
    from ganad_tf.training.checkpoint import Checkpoint
    from ganad_tf.training.programs import Program

    config, feature = run.config, run.config.feature
    together = np.concatenate(log_mels)
    normalizer = Normalizer(together.mean(axis=0).tolist(), together.std(axis=0).tolist())
    normalizer = normalizer if feature.standardize else None
    if config.deterministic:
        runtime.deterministic()
    train.seed_everything(config)
    detector = build.build(config)
    cached = spectra.of(Cache(run, "train"))
    sources = (
        Source(cached, part, feature.bands, feature.frames, normalizer, feature.window_hop)
        for part in (tuple(entries), ())
    )
    with tempfile.TemporaryDirectory() as folder:
        train.fit(Program(detector), config, *sources, (), Checkpoint(Path(folder, "unfinished.npz"), {}))
    return TrainedDetector(detector, normalizer, feature.frames, feature.bands, {}, feature.window_hop)


def print_table(normal: np.ndarray, before: np.ndarray, after: np.ndarray, seed: int) -> None:
    """Prints AUC and pAUC in % of each density by each pooling, as Markdown.

    Args:
      normal: Pooled residuals of the clips that the densities are fitted to, `[poolings, clips, mels]`.
      before: Those of the held-out clips.
      after: Those of the held-out clips with a sound added.
      seed: Of the fits.
    """
    from ganad_tf.scoring import densities

    print("| pooling | " + " | ".join(DENSITIES) + " |\n|" + "---|" * (1 + len(DENSITIES)))
    for pooling, fitted_on, without, with_it in zip(POOLINGS, normal, before, after, strict=True):
        cells = []
        for density in DENSITIES.values():
            fitted = densities.fit(fitted_on, Scorer(name="density", **density), seed)
            scores = densities.score_in_chunks(fitted, np.concatenate([without, with_it]))
            labels = [0] * len(without) + [1] * len(with_it)
            cells.append(f"{100 * auc(labels, scores):.1f} / {100 * pauc(labels, scores):.1f}")
        print(f"| {pooling} | " + " | ".join(cells) + " |", flush=True)


def with_sound(log_mels: Sequence[np.ndarray], kind: str, level_db: float) -> list[np.ndarray]:
    """Each clip, `[frames, mels]` in dB, with a noise of random centre and width added to its power."""
    changed = []
    for number, log_mel in enumerate(log_mels):
        rng = np.random.default_rng(number)
        frames, mels = log_mel.shape
        centre, width = rng.uniform(0, mels), rng.uniform(3, 15)
        shape = np.exp(-0.5 * ((np.arange(mels) - centre) / width) ** 2)
        course = np.ones(frames)
        if kind == "bursts":
            course = np.isin((np.arange(frames) - rng.integers(0, 31)) % 31, (0, 1, 2)).astype(float)
        elif kind == "rare":
            start = rng.integers(0, frames - 5)
            course = ((np.arange(frames) >= start) & (np.arange(frames) < start + 5)).astype(float)
        power = 10.0 ** (log_mel / 10)
        noise = 0.5 + 0.5 * rng.exponential(size=power.shape)  # of mean 1
        added = 10 ** (level_db / 10) * power.mean(axis=0) * shape * (course / course.mean())[:, np.newaxis] * noise
        changed.append((10 * np.log10(power + added)).astype(np.float32))
    return changed


if __name__ == "__main__":
    sys.exit(main())
