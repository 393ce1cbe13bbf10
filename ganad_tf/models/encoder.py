"""Encoder: a frozen network of the user's own that maps windows of log-mels to embeddings, for a density of these."""

from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models import frozen
from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of

CHANNELS = (1, 3)  # of a network of images


@keras.saving.register_keras_serializable(package="ganad_tf")
class Encoder(Detector):
    """A frozen network that has learned elsewhere what sounds are like. Nothing is learned here.

    Frozen encoders with nearest neighbours: GenRep (Saengthong et al. 2024), RMIS. The embedding e of a window is the
    network's output, averaged over all axes but the first and the last. A clip is to be judged by the density of its
    mean embedding, `scorer: {of: embedding, density: cosine_knn}`; the detector's own score only tells that an
    embedding is long, which is of use for networks whose embeddings of unusual sounds are.

        loss  = 0
        score = mean over units of e^2

    The window is given to the network in the form that it takes, told by the rank of its input: `[batch, dims]`,
    `[batch, frames, mels]`, or with an axis of one or three channels, last or second, whose channels are all alike. The
    levels are those of `feature`, in dB or standardised; a network that was trained on others begins with a layer that
    converts them, such as `keras.layers.Rescaling`.

    The network is not saved with the detector: that keeps the path and the checksum, and is refused where the file has
    changed. Exported models hold the network.

    Args:
      input_dim: Length of a window.
      frames: Spectra of a window.
      path: Folder of a SavedModel, or a `.keras` or `.onnx` file.
      output: Name of the network's output; empty for the only one.
      sha256: Checksum that the network must have; empty for any.

    Attributes:
      network: The network.
      units: Length of an embedding.

    Raises:
      DataError: If there is no network in `path`, it has another checksum, or it can't be read.
      ValueError: If it does not map windows to embeddings, or has several outputs and `output` names none of them.
    """

    takes_loss = False
    reconstructs = False

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        path: str = "",
        output: str = "",
        sha256: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if input_dim % frames:
            raise ValueError(f"Expected windows of equal spectra. Received: input_dim {input_dim}, frames {frames}.")
        self.input_dim, self.frames, self.network_path, self.output_name = input_dim, frames, path, output
        self.network = frozen.load(path, output, sha256)
        self.sha256 = self.network.sha256
        self.units = self._count_units()
        self.loss_mean = LossMean(name="loss")
        self.built = True

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: ARG002 - it is frozen
        """Embeddings, `[batch, dims]` → `[batch, units]`."""
        image = arranged(as_float32(windows), self.frames, self.network.input_shape)
        return tf.ensure_shape(pooled(self.network(image)), [None, self.units])

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """Embeddings, `[batch, units]`."""
        return self(windows)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """A loss of 0; there is nothing to learn, and the network is not called."""
        return self.test_step(data)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """A loss of 0."""
        self.loss_mean.update_state(tf.zeros([]), sample_weight=tf.shape(batch_of(data))[0])
        return {"loss": self.loss_mean.result()}

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean square of each embedding, `[batch]`."""
        return tf.reduce_mean(tf.square(self(windows)), axis=-1)

    def export(self, *arguments: Any, **named: Any) -> None:
        """Writes a model without this package, as every detector does.

        Raises:
          ValueError: If the network is in ONNX.
        """
        if not self.network.is_in_graph:
            raise ValueError(f"Expected a SavedModel or a .keras file, to export it. Received: {self.network_path}.")
        super().export(*arguments, **named)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        own = {"path": self.network_path, "output": self.output_name, "sha256": self.sha256}
        return super().get_config() | {"input_dim": self.input_dim, "frames": self.frames} | own

    def _count_units(self) -> int:
        """Units of the embeddings of two windows, so that a network that mixes or splits windows shows."""
        with tf.init_scope():
            windows = tf.zeros([2, self.input_dim])
            image, takes = arranged(windows, self.frames, self.network.input_shape), self.network.input_shape
            if any(size not in (None, given) for size, given in zip(takes[1:], image.shape[1:], strict=True)):
                raise ValueError(
                    f"Expected a network for windows of {self.frames} spectra of {self.input_dim // self.frames} mel "
                    f"bands, {frozen.in_words(tuple(image.shape))}. Received: one for {frozen.in_words(takes)}."
                )
            shape = pooled(self.network(image)).shape
        if shape.rank != 2 or shape[0] != 2:
            raise ValueError(f"Expected one embedding per window, [2, ?]. Received: {frozen.in_words(tuple(shape))}.")
        return int(shape[1])


def arranged(windows: tf.Tensor, frames: int, shape: frozen.Shape) -> tf.Tensor:
    """Windows in the form that a network takes, told by the rank of its input and by its axis of channels.

    Args:
      windows: `[batch, frames * mels]`.
      frames: Spectra of a window.
      shape: Sizes of the network's input.

    Returns:
      The windows, or `[batch, frames, mels]`, or that with the channels last or second.

    Raises:
      ValueError: If windows have no such form.

    >>> arranged(tf.zeros([2, 12]), 3, (None, 3, 4, 3)).shape
    TensorShape([2, 3, 4, 3])
    """
    image = tf.reshape(windows, [-1, frames, windows.shape[1] // frames])
    if len(shape) == 2:
        return windows
    if len(shape) == 3:
        return image
    if len(shape) == 4 and shape[3] in CHANNELS:
        return tf.repeat(image[..., tf.newaxis], shape[3], axis=3)
    if len(shape) == 4 and shape[1] in CHANNELS:
        return tf.repeat(image[:, tf.newaxis], shape[1], axis=1)
    raise ValueError(
        "Expected a network that takes [batch, dims] or [batch, frames, mels], or that with one or three channels. "
        f"Received: one that takes {frozen.in_words(shape)}."
    )


def pooled(outputs: tf.Tensor) -> tf.Tensor:
    """Mean over all axes but the first and the last, `[batch, ..., units]` → `[batch, units]`."""
    return tf.reduce_mean(outputs, axis=list(range(1, len(outputs.shape) - 1)))
