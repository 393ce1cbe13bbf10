"""Compares every network with the best density without one, on the same clips: where does a network earn its place?

    python tools/networks.py CONFIG.yaml OUT [--machine M ...] [--detectors NAME ...] [--clips N] [--set key=value ...]

CONFIG.yaml says which recordings; `dataset.name: imported` takes the caches of tools/import_logmel.py. Each detector of
yaml/ is trained once per machine type, on all normal training clips or N of each machine ID, and scores the test clips
by its file's scorer and by the 17 of tools/selection.py. A file per detector and machine type goes to OUT; those that
are there are not measured again. Per machine type and detector: the mean AUC over machine IDs by the file's scorer, its
difference from that of `spectrum_density`, and the same of the best scorer of each, which test labels choose (oracle).
Intervals are of 95 %, from paired bootstrap samples of the test clips.
"""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from selection import SCORERS, WITHOUT_NETWORK, measured_files, parser_of

from ganad_tf.clips import by_id
from ganad_tf.run import MachineRun

CONFIGURED = "configured"
RESAMPLES = 2000


def main() -> int:
    """Measures what is missing and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--clips", type=int, metavar="N", help="normal training clips of each machine ID")
    options = parser.parse_args()
    print(table(measured_files(options, lambda run, _: measure(run, options.clips))))
    return 0


def measure(run: MachineRun, n_clips: int | None) -> dict[str, np.ndarray]:
    """Test scores `[scorers, clips]` of one detector, with labels and machine IDs of the clips."""
    from ganad_tf import runtime
    from ganad_tf.cache import spectra
    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.scoring.folds import Fold
    from ganad_tf.selection import trials

    runtime.forget_models()
    if run.config.dataset.name != "imported":
        for split in ("train", "test"):
            prepare_cache(run, split)
    entries = {entry.clip: entry for entry in Cache(run, "train").current().entries if entry.clip.label == 0}
    chosen = [clip for clips in by_id(entries).values() for clip in drawn(clips, n_clips, run.config.seed)]
    fold = Fold(tuple(entries[clip] for clip in chosen), ())
    scorers = {CONFIGURED: run.config.scorer} | SCORERS
    trial = trials.Trial(run, list(scorers.values()), trials.train(run, fold))
    test = sorted(Cache(run, "test").current().entries, key=lambda entry: entry.clip.key)
    read = list(spectra.read(Cache(run, "test"), test))
    scores = trial.score_log_mels(fold, (log_mel for _, log_mel in read))
    return {
        "scorers": np.array(list(scorers)),
        "scores": np.stack(scores),
        "clips": np.array([entry.clip.key for entry, _ in read]),
        "labels": np.array([entry.clip.label or 0 for entry, _ in read]),
        "machine_ids": np.array([entry.clip.machine_id for entry, _ in read]),
    }


def drawn(clips: Sequence[Any], n_clips: int | None, seed: int) -> list[Any]:
    """Some of the clips of one machine, the same for every detector."""
    return random.Random(seed).sample(list(clips), min(n_clips or len(clips), len(clips)))


def table(measured: dict[str, dict[str, Path]]) -> str:
    """Markdown table: one line per machine type and detector."""
    lines = [
        "| machine | detector | AUC % | minus no network | best scorer (oracle) | AUC % | minus no network (oracle) |",
        "|---|---|---|---|---|---|---|",
    ]
    for machine, files in measured.items():
        loaded = {name: _load(path) for name, path in files.items()}
        without = loaded.get(WITHOUT_NETWORK)
        for name, arrays in loaded.items():
            best = _best(arrays)
            cells = [machine, name, f"{100 * area(arrays, 0):.1f}"]
            cells += [_difference(arrays, 0, without, 0)]
            cells += [str(arrays["scorers"][best]), f"{100 * area(arrays, best):.1f}"]
            cells += [_difference(arrays, best, without, None if without is None else _best(without))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def area(arrays: dict[str, np.ndarray], scorer: int) -> float:
    """Mean AUC over machine IDs."""
    return float(np.mean([wins.mean() for wins in wins_by_id(arrays, scorer)]))


def wins_by_id(arrays: dict[str, np.ndarray], scorer: int) -> list[np.ndarray]:
    """Per machine ID, whether an anomaly scores higher than a normal clip, `[anomalies, normals]`; a half for a tie."""
    wins = []
    for machine_id in np.unique(arrays["machine_ids"]):
        of_id = arrays["machine_ids"] == machine_id
        anomalies, normals = (arrays["scores"][scorer, of_id & (arrays["labels"] == label)] for label in (1, 0))
        wins.append((np.sign(anomalies[:, np.newaxis] - normals) + 1) / 2)
    return wins


def paired_interval(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], seed: int = 0) -> tuple[float, float]:
    """Interval of 95 % of the difference of mean AUCs, over samples of clips that both systems have scored.

    Args:
      ours: As from `wins_by_id`.
      theirs: The same clips by the other system.
      seed: Of the samples.
    """
    rng = np.random.default_rng(seed)
    differences = np.zeros(RESAMPLES)
    for difference in (mine - yours for mine, yours in zip(ours, theirs, strict=True)):
        anomalies, normals = (rng.multinomial(size, np.full(size, 1 / size), RESAMPLES) for size in difference.shape)
        differences += np.einsum("ra,an,rn->r", anomalies, difference, normals, optimize=True) / difference.size
    low, high = np.quantile(differences / len(ours), [0.025, 0.975])
    return float(low), float(high)


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _best(arrays: dict[str, np.ndarray]) -> int:
    return int(np.argmax([area(arrays, number) for number in range(len(arrays["scorers"]))]))


def _difference(
    arrays: dict[str, np.ndarray], scorer: int, without: dict[str, np.ndarray] | None, other: int | None
) -> str:
    if without is None or other is None or arrays is without:
        return ""
    gain = area(arrays, scorer) - area(without, other)
    low, high = paired_interval(wins_by_id(arrays, scorer), wins_by_id(without, other))
    return f"{100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


if __name__ == "__main__":
    sys.exit(main())
