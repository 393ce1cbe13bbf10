"""One training on several devices by TensorFlow's strategies: each device takes its share of every batch.

All have the same weights. Gradients are averaged over the devices before each step, and so are the moments of batch
normalisation, so that a step is that of one device on the whole batch, but for rounding.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ganad_tf import runtime
from ganad_tf.config import Config
from ganad_tf.config.paths import is_url
from ganad_tf.config.storage import DIRECTORIES
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.files import checksummed
from ganad_tf.models import DETECTORS, Detector
from ganad_tf.training import batch_norm, optimizers

logger = logging.getLogger(__name__)

Logs = dict[str, tf.Tensor]

# Errors of an operation that waits for other workers, when one of them ends.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Attributes:
      strategy: TensorFlow's way to keep their weights the same.
    """

    strategy: tf.distribute.Strategy

    @property
    def number(self) -> int:
        """Number of devices, those of all workers together."""
        return int(self.strategy.num_replicas_in_sync)

    @property
    def has_workers(self) -> bool:
        """Whether they belong to several processes, each of which runs the same command."""
        return isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)

    @property
    def writes(self) -> bool:
        """Whether this process writes the results: the only one, or worker 0."""
        return not self.has_workers or not self.strategy.cluster_resolver.task_id

    def made(self, make: Callable[[], Detector]) -> Detector:
        """A detector that `make` returns, with its weights on all devices; its optimizers average gradients."""
        with self.strategy.scope():
            detector = make()
            for layer in batch_norm.layers_in(detector):
                layer.synchronized = True
            for optimizer in optimizers.build(detector):
                if not detector.takes_loss:  # Keras has divided the losses of the others
                    optimizer.loss_scale_factor = float(self.number)
        return detector

    def fit(
        self,
        detector: Detector,
        batches: tf.data.Dataset,
        n_batches: int,
        validated: tf.data.Dataset | None,
        **course: Any,
    ) -> None:
        """Trains a detector that was `made`.

        Args:
          detector: The detector.
          batches: Those of all devices together, for all epochs by one iterator.
          n_batches: Their number in an epoch.
          validated: Batches of a validation; None for none.
          **course: Other arguments of Keras' `fit`.

        Raises:
          DataError: If another worker ends meanwhile.
        """
        course |= {"steps_per_epoch": n_batches}
        if validated is not None:
            course |= {"validation_data": self._shares(validated.repeat()), "validation_steps": len(validated)}
        steps = (
            lambda detector: self._together(detector.train_step),
            lambda detector: self._together(detector.test_step),
        )
        with detector.training_by(*steps), self._connected():
            detector.fit(self._shares(batches), **course)

    def _shares(self, batches: tf.data.Dataset) -> Any:
        """Dataset of what the devices of this process take of each batch, for `fit`."""

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            n_here = self.number // context.num_input_pipelines
            of_device = [number + context.input_pipeline_id * n_here for number in range(n_here)]
            return shares(batches, of_device, self.number).prefetch(n_here)

        return self.strategy.distribute_datasets_from_function(of_worker)

    def agree(self, what: str, *facts: Any) -> None:
        """Compares facts with those of the other workers, and waits for them.

        Args:
          what: What the facts are about, for the error.
          *facts: JSON values on which the course of the command depends.

        Raises:
          DataError: If another worker has others, or has failed.
        """
        if not self.has_workers:
            return
        own = int(checksummed.fingerprint(facts)[:15], 16)
        with self._connected():
            numbers = self._of_all(own)
        if len(set(numbers)) > 1:
            raise DataError(f"Expected the same {what} on all workers. Received: different ones.")

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except LOST as error:
            if not self.has_workers:
                raise
            raise DataError(
                "Another worker has ended or can't be reached; start the command again on all workers, which goes on "
                "after the last epoch."
            ) from error

    def _of_all(self, number: int) -> Sequence[int]:
        """The numbers that all devices hand over, in their order."""

        def gathered() -> tf.Tensor:
            return tf.distribute.get_replica_context().all_gather(tf.constant([number], tf.int64), axis=0)

        per_device = self.strategy.run(tf.function(gathered, autograph=False))
        return [int(value) for value in self.strategy.experimental_local_results(per_device)[0]]

    def _together(self, step: Callable[[Any], Logs]) -> Callable[[Iterator[Any]], Logs]:
        """A function that takes the next element of an iterator, does a step on all devices, and averages losses."""

        @tf.function(autograph=False)
        def on_all(batch: Any) -> Logs:
            losses = self.strategy.run(step, args=(batch,))
            return {
                name: self.strategy.reduce(tf.distribute.ReduceOp.MEAN, loss, axis=None)
                for name, loss in losses.items()
            }

        return lambda iterator: on_all(next(iterator))


def shares(batches: tf.data.Dataset, devices: Sequence[int], n_devices: int) -> tf.data.Dataset:
    """Shares of batches that some devices take, one after another.

    Device i of n takes windows i, i + n, i + 2 n, ... of a batch. Where n does not divide a batch, such as the last of
    an epoch, the batch is filled up with windows from its beginning, so that all shares have the same weight.

    Args:
      batches: `[batch, dims]` each.
      devices: Numbers of the devices, from 0.
      n_devices: Number of all devices.

    >>> batches = tf.data.Dataset.range(7).batch(4)
    >>> [share.tolist() for share in shares(batches, [0, 1], 2).as_numpy_iterator()]
    [[0, 2], [1, 3], [4, 6], [5, 4]]
    """

    @tf.autograph.experimental.do_not_convert
    def split(batch: tf.Tensor) -> tf.data.Dataset:
        size = tf.shape(batch)[0]
        rows = tf.range(size + -size % n_devices) % size
        return tf.data.Dataset.from_tensor_slices(list(devices)).map(
            lambda device: tf.gather(batch, rows[device::n_devices])
        )

    return batches.flat_map(split)


def devices_of(config: Config) -> Devices | None:
    """The devices that `fit.distribute` names; None for an ordinary training, also where there is but one device.

    Raises:
      ConfigError: If the detector or another setting can't be trained so, or the workers are not connected.
    """
    how = config.fit.distribute
    if how == "none":
        return None
    check(config)
    if how == "multi_worker":
        return of_workers()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        logger.warning("`fit.distribute: mirrored` has no effect: there is one device, %s.", devices[0].name)
        return None
    return Devices(tf.distribute.MirroredStrategy([device.name for device in devices]))


def of_workers() -> Devices | None:
    """The devices of all workers; None if this process has no others."""
    strategy = runtime.workers()
    return Devices(strategy) if strategy else None


def check(config: Config) -> None:
    """Refuses settings that `fit.distribute` can't be used with.

    Raises:
      ConfigError: Names them all.
    """
    how, name = config.fit.distribute, config.model.name
    refused = []
    if name in DETECTORS and not DETECTORS[name].divides_batches:
        known = ", ".join(sorted(name for name, kind in DETECTORS.items() if kind.divides_batches))
        refused.append(f"`model.name: {name}` (it can be one of {known})")
    if config.augmentation.changes_windows:
        refused.append("`augmentation` of windows")
    if how == "multi_worker":
        if config.threshold.method == "conformal":
            refused.append("`threshold.method: conformal`")
        refused += [f"a URL as `{key}`" for key in DIRECTORIES if is_url(config.storage.location(getattr(config, key)))]
    if how != "none" and refused:
        raise ConfigError(
            f"Expected a training that devices can share for `fit.distribute: {how}`. Received: {', '.join(refused)}."
        )
    if how == "multi_worker" and not runtime.workers():
        raise ConfigError(
            "Expected `ganad train`, or a script that has called `ganad_tf.runtime.join_workers()`, for "
            "`fit.distribute: multi_worker`. Received: a process without other workers."
        )
