"""The number of steps of a training: epochs, passes over the windows within an epoch, batches."""

from ganad_tf.config.sections import Fit


def passes_per_epoch(settings: Fit, n_windows: int) -> int:
    """Counts how often an epoch goes over all windows, so that all epochs have at least `fit.min_steps` steps.

    More epochs would give the steps too, but each takes a validation, a checkpoint and other work that is not a step.

    >>> passes_per_epoch(Fit(epochs=100, batch_size=512), 600)
    1
    >>> passes_per_epoch(Fit(epochs=100, batch_size=512, min_steps=1000), 600)
    5
    """
    return max(1, -(-(settings.min_steps or 0) // (settings.epochs * _batches(settings, n_windows))))


def n_steps(settings: Fit, n_windows: int, n_epochs: int) -> int:
    """Number of the optimizer's steps in `n_epochs` epochs."""
    return n_epochs * passes_per_epoch(settings, n_windows) * _batches(settings, n_windows)


def _batches(settings: Fit, n_windows: int) -> int:
    return -(-n_windows // settings.batch_size)
