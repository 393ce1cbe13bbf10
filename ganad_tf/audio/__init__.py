"""Recordings: files in many formats → one channel of samples, or one sentence about what is wrong with the file.

`reader.py` reads, `containers/` tells whether a file is whole before it is decoded, `lengths.py` asks headers how long
a recording is, `sound_checks.py` remarks on silence and clipping, `aligned.py` allocates arrays that TensorFlow takes
without a copy. Samples are float32, nominally in [-1, 1]. Needs no TensorFlow.
"""

from ganad_tf.audio.reader import LOUDEST, extensions, read

__all__ = ["LOUDEST", "extensions", "read"]
