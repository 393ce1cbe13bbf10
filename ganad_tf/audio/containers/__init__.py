"""Containers of sound: whether a file is whole, told by its own marks, before libsndfile decodes it.

libsndfile reads a cut-off or joined file as a shorter one, so that each container's sizes, counts and checksums are
compared here with what the file holds. One file per family; `detection` tells them apart.
"""

from ganad_tf.audio.containers.detection import NAMES, after_tags, sound_of
from ganad_tf.audio.containers.sound import Sound, UnknownLength

__all__ = ["NAMES", "Sound", "UnknownLength", "after_tags", "sound_of"]
