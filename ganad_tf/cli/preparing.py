"""The stage `prepare` by blocks of clips: workers read them, while this process keeps the manifests of the caches."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from ganad_tf.cache import blocks
from ganad_tf.cache.blocks import Block
from ganad_tf.cache.prepare import MissingClips, PreparationResult, preparing
from ganad_tf.cli import sending, terminal
from ganad_tf.engine import driver
from ganad_tf.engine.driver import Workers
from ganad_tf.engine.units import Unit
from ganad_tf.errors import GanadError, HaltError
from ganad_tf.run import MachineRun

CACHES_AT_ONCE = 200  # each is locked by an open file meanwhile
THREADS = 2  # of a worker, which has one core: one clip is read while another is computed


@dataclass
class Caching:
    """A cache that is being brought up to date.

    Attributes:
      run: The machine type's run.
      split: The split.
      title: Name for messages.
      result: What has been done; None until the end.
      error: Reason why it has failed.
    """

    run: MachineRun
    split: str
    title: str
    result: PreparationResult | None = None
    error: GanadError | None = None
    missing: MissingClips | None = field(default=None, repr=False)
    steps: Generator[MissingClips, None, PreparationResult] | None = field(default=None, repr=False)

    def advance(self) -> None:
        """Goes on to the next clips that are missing, or to the end.

        Raises:
          HaltError: If a file can't be written, or an object store can't be used.
        """
        assert self.steps is not None
        self.missing = None
        try:
            self.missing = next(self.steps)
        except StopIteration as end:
            self.result = end.value
        except HaltError:
            raise
        except GanadError as error:
            self.error = error

    def units(self) -> Iterator[tuple[Unit, Block]]:
        """One unit per block of the missing clips."""
        assert self.missing is not None
        for number, block in enumerate(blocks.of_clips(self.missing.block)):
            name = f"{self.title} {self.split} {number}"
            yield Unit("prepare", name, self.run.machine, blocks.process, (block, THREADS)), block

    def take_over(self, finished: Sequence[Block]) -> None:
        """Takes over the blocks of the missing clips."""
        assert self.missing is not None
        try:
            sending.fetch_blocks(self.missing.block)
            self.missing.take_over(finished)
            sending.remove_blocks(self.missing.block)
        except HaltError:
            raise
        except GanadError as error:
            self.error = error


def prepare_in_blocks(caches: Sequence[Caching], workers: Workers, *, fresh: bool) -> None:
    """Brings caches up to date; each has its result or its error afterwards.

    Args:
      caches: The caches.
      workers: The workers that read clips.
      fresh: Whether all clips are read again.

    Raises:
      HaltError: If a file can't be written, or an object store can't be used.
    """
    for begin in range(0, len(caches), CACHES_AT_ONCE):
        together = caches[begin : begin + CACHES_AT_ONCE]
        with ExitStack() as locks:
            for cache in together:
                cache.steps = locks.enter_context(closing(preparing(cache.run, cache.split, fresh=fresh)))
                cache.advance()
            while unfinished := [cache for cache in together if cache.missing and not cache.error]:
                _read(unfinished, workers, fresh=fresh)
                for cache in unfinished:
                    if not cache.error:
                        cache.advance()


def _read(caches: Sequence[Caching], workers: Workers, *, fresh: bool) -> None:
    """Has the missing clips of caches read; all of them again if `fresh`."""
    for cache in caches:
        if fresh and cache.missing:
            sending.remove_blocks(cache.missing.block)  # of an earlier command
    of_caches = [list(cache.units()) for cache in caches]
    with terminal.units() as show:
        units = [sending.sent_block(unit, block) for pairs in of_caches for unit, block in pairs]
        outcomes = driver.run(units, workers, show)
    for cache, pairs in zip(caches, of_caches, strict=True):
        errors = [error for unit, _ in pairs if (error := outcomes[unit.key].error)]
        for error in errors:
            if not isinstance(error, GanadError):
                raise error
            cache.error = error
        if not errors:
            cache.take_over([block for _, block in pairs])
