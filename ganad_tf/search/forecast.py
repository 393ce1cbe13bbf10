"""Forecast of a search's duration from one measured trial."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from ganad_tf.errors import DataError
from ganad_tf.search import halving
from ganad_tf.search.search import Plan
from ganad_tf.search.space import Range
from ganad_tf.search.trial import Laboratory

EPOCHS = "fit.epochs"


def in_words(laboratory: Laboratory, plan: Plan) -> str:
    """Number of trials and hours, in one line; nothing is kept of the trial but the log-mels in the cache.

    A training takes as long as it has epochs; whatever else the space varies counts as in the measured trial.

    Raises:
      DataError: If the trial fails.
    """
    first = plan.space.first()
    with tempfile.TemporaryDirectory(prefix="ganad-") as scratch:
        place = dataclasses.replace(laboratory, directory=Path(scratch))
        run = place.run_with(first, plan.seeds[0])
        place.prepare(run)
        trained, scored = (place.run_trial(0, plan.seeds[0], first) for _ in range(2))  # the second only scores
    if trained.error:
        raise DataError(f"{run.machine}: the trial that was to be measured has failed: {trained.error}")
    epochs = run.config.fit.epochs
    training = max(trained.seconds - scored.seconds, 0.0) * mean_epochs(plan, epochs) / epochs
    seconds = len(plan.seeds) * (n_trainings(plan) * training + plan.n_trials * scored.seconds)
    trials = f"{plan.n_trials} trial{'s' if plan.n_trials > 1 else ''}"
    seeds = f" x {len(plan.seeds)} seeds" if len(plan.seeds) > 1 else ""
    return (
        f"{run.machine}: {trials}{seeds}, about {seconds / 3600:.3g} hours "
        f"({trained.seconds:.1f} s for one of {epochs} epochs, {scored.seconds:.1f} s of it without the training)"
    )


def n_trainings(plan: Plan) -> int:
    """Trainings with one seed."""
    if plan.strategy == "grid":
        return -(-plan.n_trials * plan.space.n_trainings // plan.space.size)
    has_ranges = len(plan.space.lists) < len(plan.space.values)
    return plan.n_trials if has_ranges else min(plan.n_trials, plan.space.n_trainings)


def mean_epochs(plan: Plan, epochs: int) -> float:
    """Mean number of epochs of a training, where the measured one has had `epochs`."""
    if plan.strategy == "halving":
        steps = halving.rungs(epochs, plan.n_trials)
        alive, total = plan.n_trials, 0.0
        for before, after in zip([0, *steps], steps, strict=False):
            total += alive * (after - before)
            alive = halving.n_kept(alive)
        return total / plan.n_trials
    values = plan.space.values.get(EPOCHS, (epochs,))
    return float(np.mean((values.low, values.high) if isinstance(values, Range) else values))
