"""The contract that every detector keeps. It sees tensors and plain numbers: no files, no settings, no clips."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras
import tensorflow as tf

from ganad_tf.models.refusals import ALL_ALIKE, refuse_arguments, refuse_other_than_float32, refuse_weights

# From a detector to a function that takes the next element of a dataset's iterator and returns the losses by name.
FunctionMaker = Callable[["Detector"], Callable[[Iterator[Any]], dict[str, tf.Tensor]]]

MOST_WINDOWS, MOST_VALUES = 4096, 2**24  # of a batch outside of training: 10 MB of windows, 64 MB of activations


class Detector(keras.Model):
    """An ordinary Keras model that also says how abnormal a window is.

    `compile`, `fit(dataset, validation_data=...)`, `save`, `load_model` and `summary` work from any
    script. Every detector writes out its own `train_step` in its paper's order; it and `test_step` return
    running means of every loss, `loss` being what validation watches. Networks are shared as functions
    (`networks.py`), and what no equation says as bases (`bottleneck.py`, `adversarial.py`).

    Attributes:
      input_dim: Length of a window.
      takes_machine_ids: Whether training and scoring need the machine ID of each window. Then the constructor takes
        `machine_ids`, the known IDs; a step wants `(windows, numbers)`, numbers of IDs, `[batch]` int32; and
        `anomaly_score` gives one score per known ID, `[batch, ids]`: how abnormal the window is for that machine.
      reconstructs: Whether calling it gives a reconstruction, `[batch, dims]`; otherwise that is taken to be zero.
      takes_pairs: Whether training wants two independently shuffled batches per step, `((windows, others),)`.
      takes_loss: Whether `compile(loss=...)` says what training lowers; otherwise it is refused.
      convolves: Whether it convolves, for which XLA on a processor takes several times as long as TensorFlow.
      divides_batches: Whether several devices may each take a share of a batch: a step depends on the batch by means
        over its windows alone.

    Raises:
      ValueError: If Keras is told to compute in anything but float32.
    """

    input_dim: int
    takes_machine_ids = False
    machine_ids: Sequence[str] = ()
    reconstructs = True
    takes_pairs = False
    takes_loss = True
    convolves = False
    divides_batches = False
    train_function: Any  # Keras'
    test_function: Any  # Keras'
    _train_function_maker: FunctionMaker | None = None
    _test_function_maker: FunctionMaker | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        refuse_other_than_float32(self)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Sets optimizer and, where the detector takes one, loss, as Keras does.

        Raises:
          ValueError: For an argument that training would not look at.
        """
        method = f"{type(self).__name__}.compile"
        if not self.takes_loss:
            why = "its losses are fixed, and what weighs them are arguments of its constructor"
            refuse_arguments(method, why, loss=loss, loss_weights=loss_weights)
        why = "its losses are what `fit` reports"
        refuse_arguments(method, why, metrics=metrics, weighted_metrics=weighted_metrics)
        super().compile(optimizer=optimizer, loss=loss, loss_weights=loss_weights, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles as `get_compile_config` has recorded; `load_model` calls this."""
        settings = keras.saving.deserialize_keras_object(config)
        unused = {"metrics", "weighted_metrics", *(() if self.takes_loss else ("loss", "loss_weights"))}
        self.compile(**{name: value for name, value in settings.items() if name not in unused})  # version 0.1 has some
        self.optimizer.build(self.trainable_variables)

    def fit(self, *arguments: Any, **named: Any) -> keras.callbacks.History:
        """Trains, as Keras does.

        Raises:
          ValueError: For weights of windows or classes.
        """
        refuse_weights(super().fit, arguments, named)
        return super().fit(*arguments, **named)

    @contextmanager
    def training_by(self, maker: FunctionMaker, test_maker: FunctionMaker | None = None) -> Iterator[None]:
        """Within it `fit` calls the train function that `maker` makes of the detector; afterwards Keras' again.

        Args:
          maker: Detector → a function that takes the next element from an iterator over `fit`'s dataset, does what is
            to be done with it, and returns the losses by name.
          test_maker: The same for validation; None for Keras' own.
        """
        self._train_function_maker, self.train_function = maker, None
        self._test_function_maker, self.test_function = test_maker, None
        try:
            yield
        finally:
            self._train_function_maker, self.train_function = None, None
            self._test_function_maker, self.test_function = None, None

    def make_train_function(self, force: bool = False) -> None:
        """Makes what `fit` calls for each element of its dataset, as Keras does or as `training_by` says.

        Args:
          force: Whether to make it again, though it is there; for what `train_step` has read from the detector's
            attributes while it was traced.
        """
        if self._train_function_maker is None:
            super().make_train_function(force)
        elif force or self.train_function is None:
            self.train_function = self._train_function_maker(self)

    def make_test_function(self, force: bool = False) -> None:
        """Makes what validation calls for each element of its dataset, as Keras does or as `training_by` says.

        Args:
          force: Whether to make it again, though it is there.
        """
        if self._test_function_maker is None:
            super().make_test_function(force)
        elif force or self.test_function is None:
            self.test_function = self._test_function_maker(self)

    def evaluate(self, *arguments: Any, **named: Any) -> Any:
        """Computes the losses, as Keras does.

        Raises:
          ValueError: For weights of windows.
        """
        refuse_weights(super().evaluate, arguments, named)
        return super().evaluate(*arguments, **named)

    def train_on_batch(self, *arguments: Any, **named: Any) -> Any:
        """Does one step, as Keras does.

        Raises:
          ValueError: For weights of windows or classes.
        """
        refuse_weights(super().train_on_batch, arguments, named)
        return super().train_on_batch(*arguments, **named)

    def test_on_batch(self, *arguments: Any, **named: Any) -> Any:
        """Computes the losses of one batch, as Keras does.

        Raises:
          ValueError: For weights of windows.
        """
        refuse_weights(super().test_on_batch, arguments, named)
        return super().test_on_batch(*arguments, **named)

    def export(
        self,
        filepath: str | Path,
        format: str = "tf_saved_model",  # noqa: A002 - Keras' name
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Writes a model without this package, windows `[batch, dims]` float32 → what calling the detector gives."""
        signature = input_signature or [tf.TensorSpec([None, self.input_dim], tf.float32, name="windows")]
        super().export(filepath, format=format, verbose=verbose, input_signature=signature, **kwargs)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """The paper's score of each window.

        Args:
          windows: `[batch, dims]` numbers.

        Returns:
          `[batch]` float32, or `[batch, ids]` if it `takes_machine_ids`; higher is more anomalous. Does not depend on
          the other windows of the batch.
        """
        raise NotImplementedError

    @property
    def values_per_window(self) -> int:
        """Values of a window where the network is widest; they bound how many windows are computed together."""
        return self.input_dim

    def warm_up(self, epochs: int) -> int:  # noqa: ARG002
        """Epochs, of all `epochs` of a training, before the validation loss says how good the detector is."""
        return 0

    def too_few_steps(self, n_steps: int) -> str | None:  # noqa: ARG002
        """Reason why a training of so many steps is too short, for a warning to give; None if it is not."""
        return None

    def run_batch_norm(self, windows: tf.Tensor) -> Iterator[keras.Model]:
        """Runs what has batch normalisation in training mode, as a step does; its averages are estimated anew by this.

        Args:
          windows: `[batch, dims]` float32.

        Yields:
          Each network when it has run, as often as a step runs it.
        """
        self(windows, training=True)
        yield self

    def reconstruct(self, windows: tf.Tensor) -> tf.Tensor:
        """Reconstruction of windows, `[batch, dims]` float32, in inference mode."""
        windows = as_float32(windows)
        return self(windows, training=False) if self.reconstructs else tf.zeros_like(windows)

    def residual(self, windows: tf.Tensor) -> tf.Tensor:
        """Reconstruction minus window, the part that was not reproduced: `[batch, dims]` float32."""
        return self.reconstruct(windows) - as_float32(windows)


@runtime_checkable
class HasEmbedding(Protocol):
    """A detector with vectors that describe windows, such as the output of a bottleneck, for `scorer.of: embedding`."""

    input_dim: int

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """Windows `[batch, dims]` → their embeddings, `[batch, units]` float32, in inference mode."""


def as_float32(windows: Any) -> tf.Tensor:
    """Windows of any kind of number, tensor or NumPy array, as float32; float32 stays what it is.

    >>> as_float32([[1, 2]]).dtype
    tf.float32
    """
    return tf.cast(windows, tf.float32)


def largest_batch(model: keras.Model) -> int:
    """Windows that one call outside of training shall compute, for the memory that they take.

    Args:
      model: A detector, or a model of one's own, which counts as a small one.
    """
    values = model.values_per_window if isinstance(model, Detector) else 1
    return max(1, min(MOST_WINDOWS, MOST_VALUES // values))


def batch_of(data: Any) -> Any:
    """The windows of `x`, `(x, y)` or `(x, y, sample_weight)`, which `fit` hands to a step, as float32.

    Targets are not looked at: a detector's target is the window.

    Returns:
      `[batch, dims]`, or a pair of it where x is one.

    Raises:
      ValueError: If windows have weights.
    """
    windows, _, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError(f"A detector's step: {ALL_ALIKE} weights of shape {weights.shape}.")
    return tf.nest.map_structure(as_float32, windows)


def labelled_batch_of(data: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The windows and the numbers of their machine IDs of `(x, y)`, which `fit` hands to a step.

    Returns:
      `[batch, dims]` float32 and `[batch]` int32.

    Raises:
      ValueError: If there are no numbers, or windows have weights.
    """
    _, numbers, _ = keras.utils.unpack_x_y_sample_weight(data)
    if numbers is None:
        raise ValueError("Expected `(windows, numbers)`, numbers of the windows' machine IDs. Received: windows alone.")
    return batch_of(data), tf.cast(tf.reshape(numbers, [-1]), tf.int32)


@keras.saving.register_keras_serializable(package="ganad_tf")
class LossMean(keras.metrics.Mean):
    """The running mean of a loss, which remembers the first batch that was not a finite number.

    Args:
      name: Of the loss.

    `first_bad` counts batches from 1 since the last reset, which `fit` does before every epoch; 0 is none.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        count: dict[str, Any] = {"shape": (), "initializer": "zeros", "dtype": "int64"}
        count |= {"aggregation": "only_first_replica"}  # numbers of batches don't add up over devices
        self.batches = self.add_variable(name="batches", **count)
        self.first_bad = self.add_variable(name="first_bad", **count)

    def update_state(self, values: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Adds a batch's loss, weighted by the batch's size."""
        self.batches.assign_add(1)
        is_first = tf.logical_and(tf.equal(self.first_bad, 0), tf.logical_not(tf.math.is_finite(values)))
        self.first_bad.assign(tf.where(is_first, self.batches, self.first_bad))
        super().update_state(values, sample_weight=sample_weight)

    def reset_state(self) -> None:
        """Forgets everything."""
        super().reset_state()
        self.batches.assign(0)
        self.first_bad.assign(0)
