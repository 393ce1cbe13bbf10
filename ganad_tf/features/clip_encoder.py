"""Waveform → embeddings by a frozen network of the user's own, in place of log-mels: `feature: {encoder: FILE}`."""

import functools

import tensorflow as tf

from ganad_tf.config.sections import Feature
from ganad_tf.errors import ConfigError
from ganad_tf.models import frozen
from ganad_tf.models.frozen import FrozenNetwork, in_words

PROBES = [2**exponent for exponent in range(16, 23)]  # samples of silence, of which a network should take some length


class ClipEncoder:
    """Embeddings of clips, one after the other in time.

    Args:
      network: Maps one waveform to embeddings: `[samples]`, `[batch, samples]`, or the latter with one channel, last or
        second, to `[..., units]`.
      units: Length of an embedding.

    Raises:
      ValueError: If the network takes something else, waveforms of a single length, or gives embeddings of another
        length.
    """

    def __init__(self, network: FrozenNetwork, units: int) -> None:
        self.network, self.units = network, units
        if (given := units_of(network)) != units:
            raise ValueError(
                f"expected the number of units of its embeddings for `feature.n_mels`, {given}. Received: {units}"
            )

    def in_pieces(self, waveform: tf.Tensor) -> tf.Tensor:
        """Embeddings of one clip, `[samples]` float32 → `[time, units]` float32.

        The clip is computed as a whole, because only the network knows what a piece of it would be.
        """
        return tf.reshape(self.network(_arranged(self.network, waveform)), [-1, self.units])


def clip_encoder(feature: Feature) -> ClipEncoder:
    """The encoder of the section `feature`.

    Raises:
      ConfigError: If the network takes no waveforms, or gives embeddings of another length than `n_mels`.
      DataError: If there is no network, or it can't be read.
    """
    try:
        return ClipEncoder(_network(feature), feature.n_mels)
    except ValueError as error:
        raise _unusable(feature, error) from error


def fewest_samples(feature: Feature) -> int:
    """Minimum number of samples of a clip of which the encoder makes `frames` embeddings.

    Raises:
      ConfigError, DataError: As `clip_encoder`.
    """
    try:
        return shortest_clip(_network(feature), feature.frames)
    except ValueError as error:
        raise _unusable(feature, error) from error


@functools.lru_cache(maxsize=16)
def units_of(network: FrozenNetwork) -> int:
    """Units of the embeddings of a network, found by trying.

    Raises:
      ValueError: If it takes no waveforms, or those of a single length.
    """
    shape = network.input_shape
    if (
        len(shape) not in (1, 2, 3)
        or [size for size in shape[1:] if size not in (None, 1)]
        or shape[0] not in (None, 1)
    ):
        raise ValueError(f"expected a network that takes waveforms of any length. Received: {in_words(shape)}")
    for n_samples in PROBES:
        embeddings = _probe(network, n_samples)
        if embeddings is not None:
            return int(embeddings.shape[-1])
    raise ValueError(f"expected a network that takes waveforms. It takes none of {PROBES[0]} to {PROBES[-1]} samples")


@functools.lru_cache(maxsize=16)
def shortest_clip(network: FrozenNetwork, count: int) -> int:
    """Fewest samples of silence of which a network makes `count` embeddings, found by trying.

    Raises:
      ValueError: As `units_of`, or if there are never so many embeddings.
    """
    units = units_of(network)

    def is_enough(n_samples: int) -> bool:
        embeddings = _probe(network, n_samples)  # of too short a clip perhaps something of another shape
        return embeddings is not None and embeddings.shape[-1] == units and tf.size(embeddings) >= count * units

    too_few, enough = 0, 1
    while not is_enough(enough):
        too_few, enough = enough, 2 * enough
        if too_few >= PROBES[-1]:
            raise ValueError(f"expected {count} embeddings, for `feature.frames`, of {too_few} samples. It gives fewer")
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if is_enough(middle) else (middle, enough)
    return enough


def _probe(network: FrozenNetwork, n_samples: int) -> tf.Tensor | None:
    """Output for silence; None if it is too short for the network."""
    with tf.init_scope():
        try:
            return network(_arranged(network, tf.zeros([n_samples])))
        except (tf.errors.OpError, ValueError):
            return None


def _arranged(network: FrozenNetwork, waveform: tf.Tensor) -> tf.Tensor:
    """A waveform `[samples]` with the axes of the network's input."""
    shape = network.input_shape
    if len(shape) == 3:
        return waveform[tf.newaxis, tf.newaxis] if shape[1] == 1 else waveform[tf.newaxis, :, tf.newaxis]
    return waveform[tf.newaxis] if len(shape) == 2 else waveform


def _network(feature: Feature) -> FrozenNetwork:
    assert feature.encoder is not None
    return frozen.load(feature.encoder, feature.encoder_output)


def _unusable(feature: Feature, error: ValueError) -> ConfigError:
    return ConfigError(f"The network in {feature.encoder}, `feature.encoder`, can't be used: {str(error).rstrip('.')}.")
