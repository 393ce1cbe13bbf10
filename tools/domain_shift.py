"""Official scores of densities by domain, where two real ToyCars stand for the source domain and the target domain.

    python tools/domain_shift.py FILE.npz [--target-clips 10] [--seeds 3]

FILE.npz has `names` and `logmel_db` of machines 01 and 02, as import_logmel.py takes it. Normal clips with an index
below 250 are for training, all of one machine and a few, drawn by the seed, of the other; the rest is for the test. A
clip's vector is its mean log-mel, without a network. Prints AUC (source), AUC (target), pAUC and official score by the
rule of 2022 in percent, means over both directions and all seeds. It is no data of the challenge: both machines are of
one type, recorded alike.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.cli import terminal
from ganad_tf.clips import DOMAINS
from ganad_tf.config.sections import Scorer
from ganad_tf.results import official

TRAIN_BELOW = 250
DENSITIES: list[dict[str, Any]] = [
    {"density": density, "whiten": whiten} for density in ("mahalanobis", "knn") for whiten in (False, True)
]
VARIANTS: list[dict[str, Any]] = [
    {},
    {"target_smote": "auto"},
    {"domains": "minimum"},
    {"domains": "standardized"},
    {"domains": "standardized", "target_smote": "auto"},
]


def main() -> int:
    """Prints one table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", metavar="FILE.npz", type=Path)
    parser.add_argument("--target-clips", type=int, default=10, help="normal training clips of the target domain")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    terminal.import_tensorflow()
    with np.load(options.archive) as arrays:
        names, vectors = arrays["names"].tolist(), arrays["logmel_db"].astype(np.float32).mean(axis=1)
    print("| density | changes | AUC (source) | AUC (target) | pAUC | official score |\n|---|---|---|---|---|---|")
    for density in DENSITIES:
        for change in VARIANTS:
            settings = Scorer(name="density", **density, **change)
            rows = [
                _scores(names, vectors, machines, settings, options.target_clips, seed)
                for machines in (("01", "02"), ("02", "01"))
                for seed in range(options.seeds)
            ]
            cells = [
                _text(density),
                _text(change) or "none",
                *(f"{100 * value:.1f}" for value in np.mean(rows, axis=0)),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def _scores(
    names: Sequence[str],
    vectors: np.ndarray,
    machines: tuple[str, str],
    settings: Scorer,
    n_target: int,
    seed: int,
) -> tuple[float, float, float, float]:
    """AUC of both domains, pAUC and official score, with the first machine as the source domain."""
    from ganad_tf.scoring import densities, domain_densities

    known = {domain: _rows(names, machine, 0, True) for domain, machine in zip(DOMAINS, machines, strict=True)}
    chosen = np.random.default_rng(seed).choice(known["target"], n_target, replace=False)
    training, domains = [*known["source"], *chosen], ["source"] * len(known["source"]) + ["target"] * n_target
    density = domain_densities.fit(vectors[training], domains, settings, seed)
    tested = [
        (row, label, domain)
        for domain, machine in zip(DOMAINS, machines, strict=True)
        for label in (0, 1)
        for row in _rows(names, machine, label, False)
    ]
    rows, labels, of_tested = zip(*tested, strict=True)
    scores = densities.score_in_chunks(density, vectors[list(rows)]).tolist()
    results = official.evaluate([official.Section("ToyCar", "00", labels, scores, of_tested)], is_2021=False)
    by_domain = results[0].domains
    score = official.summarize(results, is_2021=False).score
    return by_domain["source"].auc, by_domain["target"].auc, by_domain["source"].pauc, score


def _rows(names: Sequence[str], machine: str, label: int, is_training: bool) -> list[int]:
    """Clips of one machine and label, of training or of the test."""
    begin = f"{('normal', 'anomaly')[label]}_id_{machine}_"
    return [
        row
        for row, name in enumerate(names)
        if name.startswith(begin)
        and (label == 0 and int(Path(name).stem.removeprefix(begin)) < TRAIN_BELOW) == is_training
    ]


def _text(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}".lower() for name, value in changes.items())


if __name__ == "__main__":
    sys.exit(main())
