"""DRINK-style interpolation: recurrent networks predict the middle of a window from both of its sides."""

from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.convolutions import patch_shape
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.prediction import PredictionDetector
from ganad_tf.models.refusals import refuse_unknown

Cell = Literal["lstm", "gru"]
CELLS = {"lstm": layers.LSTMCell, "gru": layers.GRUCell}


@keras.saving.register_keras_serializable(package="ganad_tf")
class DRINK(PredictionDetector):
    """A recurrent interpolation: what the frames on both sides don't tell of the middle of a window is abnormal.

    In the manner of DRINK (Müller, Illium and Linnhoff-Popien 2021, "Deep recurrent interpolation networks for
    anomalous sound detection", IJCNN). Neither its text nor its code was at hand: the idea is theirs, and all that
    follows is our choice. c is the middle of a window, `masked` frames; l are the frames before it and r those after
    it, k each.

        h_l    = last state of two stacked LSTMs that read l_1 ... l_k        (towards the middle)
        h_r    = last state of two others that read r_k ... r_1               (towards the middle)
        c'     = W [h_l, h_r] + b
        loss   = mean over windows, frames and mels of (c - c')^2
        score  = mean over frames and mels of (c - c')^2 per window

    The networks never see c. A window is short, so the recurrence is unrolled into a graph without loops, as converters
    for small boards need it.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window, `masked` + 2 or more, with as many on either side of the middle.
      masked: Spectra in the middle, at least 1.
      cell: `lstm` or `gru`.
      units: Length of the state of each cell.
      kernel_initializer: As Keras names it; the weights of the states begin orthogonal.

    Raises:
      ValueError: If an argument is out of range, or `frames` does not divide `input_dim`.

    >>> DRINK(input_dim=1152, frames=9).count_params()
    181376
    """

    divides_batches = True

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        masked: int = 1,
        cell: Cell = "lstm",
        units: int = 64,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim=input_dim, **kwargs)
        if masked < 1 or frames < masked + 2 or (frames - masked) % 2:
            raise ValueError(
                "Expected one masked frame or more, and as many frames before as after them. "
                f"Received: frames={frames}, masked={masked}."
            )
        _, self.n_mels, _ = patch_shape(input_dim, frames)
        refuse_unknown("cell", cell, Cell)
        self.frames, self.masked = frames, masked
        self.cell, self.units, self.kernel_initializer = cell, units, kernel_initializer
        self.before = self._make_recurrent("before")
        self.after = self._make_recurrent("after", go_backwards=True)
        self.interpolation = layers.Dense(masked * self.n_mels, kernel_initializer=kernel_initializer)
        self.interpolation.build([None, 2 * units])
        self.built = True

    def target_and_prediction(self, windows: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """`[batch, dims]` → middle and its prediction, `[batch, masked * mels]` each."""
        before, middle, after = self._split(windows)
        states = [self.before(before, training=training), self.after(after, training=training)]  # [batch, units] each
        return middle, self.interpolation(tf.concat(states, axis=-1))

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → the windows with their middle predicted, `[batch, dims]`."""
        windows = as_float32(windows)
        _, predicted = self.target_and_prediction(windows, training=training)
        side = self._side * self.n_mels
        return tf.concat([windows[:, :side], predicted, windows[:, -side:]], axis=-1)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch."""
        windows = batch_of(data)
        with tf.GradientTape() as tape:
            middle, predicted = self.target_and_prediction(windows, training=True)
            loss = self.compute_loss(x=windows, y=middle, y_pred=predicted, training=True)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self.running_mean(loss, windows)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean squared error of each window's middle, `[batch]`."""
        middle, predicted = self.target_and_prediction(windows, training=False)
        return tf.reduce_mean(tf.square(middle - predicted), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("input_dim", "frames", "masked", "cell", "units", "kernel_initializer")
        return super().get_config() | {name: getattr(self, name) for name in names}

    @property
    def _side(self) -> int:
        """Frames before the middle, and after it."""
        return (self.frames - self.masked) // 2

    def _split(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Frames before `[batch, k, mels]`, middle `[batch, masked * mels]`, frames after `[batch, k, mels]`."""
        windows = as_float32(windows)
        side, shape = self._side * self.n_mels, [-1, self._side, self.n_mels]
        before, after = (tf.reshape(part, shape) for part in (windows[:, :side], windows[:, -side:]))
        return before, windows[:, side:-side], after

    def _make_recurrent(self, name: str, *, go_backwards: bool = False) -> layers.RNN:
        """Two stacked cells over one side's frames, `[batch, k, mels]` → last state `[batch, units]`."""
        cells = [CELLS[self.cell](self.units, kernel_initializer=self.kernel_initializer) for _ in range(2)]
        network = layers.RNN(cells, go_backwards=go_backwards, unroll=True, name=name)
        network.build([None, self._side, self.n_mels])
        return network
