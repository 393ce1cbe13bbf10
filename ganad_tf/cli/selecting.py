"""Selection of each machine type's settings, for `ganad select` and `ganad run FOLDER`."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from ganad_tf import runtime
from ganad_tf.cli import stages
from ganad_tf.errors import StageInterrupt
from ganad_tf.run import MachineRun
from ganad_tf.selection import Choice, select

logger = logging.getLogger(__name__)


def select_all(runs: Sequence[MachineRun]) -> Iterator[Choice]:
    """Prepares the training clips of all machine types and yields the choice for each.

    A machine type of which there are too few recordings is left out, with a message.
    """
    systems = [system for run in runs for system in run.systems()]
    for run in runs:
        run.listing.require_clips("train")
    stages.check(systems)
    if any(run.config.deterministic for run in runs):
        runtime.deterministic()
    stages.prepare_all(systems, ("train",))
    for run in runs:
        with _selecting(run):
            choice = select(run, show=partial(stages.show_training, run.config.fit))
        if choice is None:
            logger.info("%s: too few recordings to select settings by; it keeps the configured ones.", run.machine)
            continue
        yield choice


@contextmanager
def _selecting(run: MachineRun) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise StageInterrupt(f"selecting settings for {run.machine}", "nothing of it is kept") from error
