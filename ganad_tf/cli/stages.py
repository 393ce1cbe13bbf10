"""What the verbs do to all machine types of an experiment, one after another."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ganad_tf import datasets, runtime
from ganad_tf.cache import manifest
from ganad_tf.cache import prepare as preparation
from ganad_tf.cli import terminal
from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError, GanadError, Interrupted, WriteError
from ganad_tf.scoring import fit
from ganad_tf.scoring import score as scoring
from ganad_tf.training import build, checkpoint
from ganad_tf.training import train as training

logger = logging.getLogger(__name__)


def check(config: Config, listings: Sequence[Listing]) -> None:
    """Refuses what can't be trained, before time is spent on any machine type.

    Raises:
      ConfigError: If the settings don't make a detector.
      DataError: If there are too few training clips for the density.
    """
    for listing in listings:
        own = config.for_machine(listing.machine)
        build.build(own)
        if listing.of("train"):
            fit.check_enough(own, listing.machine, sum(clip.label == 0 for clip in listing.of("train")))


def prepare(
    config: Config, mode: Mode, listings: Sequence[Listing], splits: Sequence[str], *, fresh: bool = False
) -> None:
    """Brings every cache up to date, all of it anew if `fresh`; names what can't be used of all machine types."""
    faults: list[GanadError] = []
    try:
        datasets.refuse_foreign(listings, config)
    except DataError as error:
        faults.append(error)
    for listing in listings:
        own = config.for_machine(listing.machine)
        for split in splits:
            if not listing.of(split):
                continue
            try:
                with _preparing(own, listing, mode, split), terminal.bar(f"{listing.machine} {split}") as bar:
                    done = preparation.prepare(own, listing, mode, split, progress=bar, fresh=fresh)
            except WriteError:
                raise
            except DataError as error:
                faults.append(error)
                continue
            if (done.n_new, done.n_dropped) == (0, 0):
                logger.debug(
                    "%s %s: %d clips are in the cache, nothing has changed", listing.machine, split, done.n_kept
                )
                continue
            counts = (done.n_new, done.n_kept, done.n_dropped, len(done.skipped))
            logger.info("%s %s: %d clips prepared, %d kept, %d dropped, %d left out", listing.machine, split, *counts)
    if faults:
        raise DataError("\n".join(str(fault) for fault in faults))


def train(config: Config, mode: Mode, listings: Sequence[Listing], *, fresh: bool = False) -> None:
    """Trains a detector for each machine type that has training clips; evaluation data may do without.

    Goes on with what was interrupted and keeps what is done, unless `fresh`.
    """
    trainable = [listing for listing in listings if listing.of("train")]
    without = [listing for listing in listings if not listing.of("train")]
    if mode == "eval":  # such a machine type is scored by the development data's detector, if there is one
        for listing in without:
            scoring.find_detector(config.for_machine(listing.machine), listing, mode)
            logger.info(
                "%s: no training clips in %s, the detector of --dev will score it",
                listing.machine,
                config.data_directory(mode),
            )
    elif without:
        names = ", ".join(listing.machine for listing in without)
        raise DataError(
            f"Expected normal training clips in {config.data_directory(mode)}, but there are none of {names}; "
            "choose others with --machine."
        )
    if config.deterministic:
        runtime.deterministic()
    for listing in trainable:
        own = config.for_machine(listing.machine)
        runtime.forget_models()
        with _training(own, listing, mode), terminal.epochs(own.fit, listing.machine) as callbacks:
            training.train(own, listing, mode, callbacks=callbacks, fresh=fresh)


def score(
    config: Config, mode: Mode, listings: Sequence[Listing], *, fresh: bool = False, command: str = ""
) -> dict[str, float | None]:
    """Scores the test clips of each machine type; the decision thresholds by machine type, None for none.

    Goes on with what was interrupted, unless `fresh`.
    """
    for listing in listings:
        scoring.find_detector(
            config.for_machine(listing.machine), listing, mode
        )  # before the time is spent on reading clips
    prepare(config, mode, listings, ("test",))
    thresholds: dict[str, float | None] = {}
    for listing in listings:
        own = config.for_machine(listing.machine)
        with _scoring(listing), terminal.bar(f"{listing.machine} score") as bar:
            thresholds[listing.machine] = scoring.score(own, listing, mode, progress=bar, fresh=fresh, command=command)
    return thresholds


@contextmanager
def _preparing(own: Config, listing: Listing, mode: Mode, split: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        try:
            n_kept = len(manifest.load(own.cache_path(mode, listing.machine, split)).entries)
        except DataError:  # it had not begun
            n_kept = 0
        kept = f"{n_kept} of {len(listing.of(split))} clips are in the cache"
        raise Interrupted(f"preparing {listing.machine} {split}", kept) from error


@contextmanager
def _training(own: Config, listing: Listing, mode: Mode) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        directory = own.model_path(mode, listing.machine)
        kept = f"{checkpoint.epochs_kept(directory)} of {own.fit.epochs} epochs are kept"
        if directory.exists():  # an earlier one, or the scorers were being fitted
            kept = "its detector is kept"
        raise Interrupted(f"training {listing.machine}", kept) from error


@contextmanager
def _scoring(listing: Listing) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = "its scores are kept, but perhaps for the last ones"
        raise Interrupted(f"scoring {listing.machine}", kept) from error
