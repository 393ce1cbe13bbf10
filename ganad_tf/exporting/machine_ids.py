"""The input `machine_id` of an exported model, by which a clip is judged as one of its machine."""

from collections.abc import Sequence

import tensorflow as tf

from ganad_tf.errors import ExportError
from ganad_tf.exporting.checks import expect
from ganad_tf.serving.models.signature import MACHINE_ID


def known_to_all(of_members: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Machine IDs that all members know which need one; none if no member does.

    Args:
      of_members: Machine IDs that each member knows; none if it needs none.

    Raises:
      ExportError: If there is no machine that all of them know.

    >>> known_to_all([["00", "02"], [], ["02", "04"]])
    ('02',)
    """
    needing = [machine_ids for machine_ids in of_members if machine_ids]
    known = tuple(name for name in needing[0] if all(name in others for others in needing)) if needing else ()
    if needing and not known:
        raise ExportError("Expected members that know the same machine IDs, but there is none that all of them know.")
    return known


def input_of(known: Sequence[str]) -> list[tf.TensorSpec]:
    """The input `machine_id`, `[batch]` strings, of a model that knows these IDs; none if it knows none."""
    return [tf.TensorSpec([None], tf.string, MACHINE_ID)] if known else []


def of_clips(clips: tf.Tensor, known: Sequence[str], given: tf.Tensor | None = None) -> tf.Tensor:
    """The machine ID of each clip, `[batch]`; in the graph, refuses IDs that are not known.

    Args:
      clips: `[batch, ...]`.
      known: The known IDs.
      given: The input `machine_id`; None if the model has none, and then IDs are empty strings.
    """
    n_clips = tf.shape(clips)[0]
    if given is None:
        return tf.fill([n_clips], "")
    is_known = tf.reduce_any(tf.equal(given[:, tf.newaxis], known), axis=1)
    sentence = (f"{MACHINE_ID}: expected one of {', '.join(known)}, received", tf.boolean_mask(given, ~is_known)[:1])
    n_given = tf.shape(given)[0]
    checks = [
        expect(tf.equal(n_clips, n_given), f"{MACHINE_ID}: expected one per clip,", n_clips, "received", n_given),
        expect(tf.reduce_all(is_known), *sentence),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(given)


def number_of(machine_id: tf.Tensor, known: Sequence[str]) -> tf.Tensor | None:
    """Number of a machine ID among the known ones, `[]`; None if there are none."""
    return tf.argmax(tf.cast(tf.equal(machine_id, known), tf.int32)) if known else None
