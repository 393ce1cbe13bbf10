"""Container formats: checks that a file is complete, before libsndfile decodes it.

libsndfile reads a truncated or concatenated file as a shorter one. Therefore each container's sizes, counts and
checksums are compared here with the file's content. One module per family of formats; `detection.py` chooses.
"""

from ganad_tf.audio.containers.detection import NAMES, after_tags, find_sound
from ganad_tf.audio.containers.sound import Sound, UnknownLength

__all__ = ["NAMES", "Sound", "UnknownLength", "after_tags", "find_sound"]
