"""Audio: recordings in many formats → one channel of samples, or one sentence about what is wrong with the file.

`reader.py` reads files, `clip_reader.py` clips of a listing. `containers/` checks that a file is complete before it is
decoded, `lengths.py` reads durations from headers, `sound_checks.py` reports silence and clipping, `aligned.py`
allocates arrays that TensorFlow uses without a copy. Samples are float32, nominally in [-1, 1]. Needs no TensorFlow.
"""

from ganad_tf.audio.clip_reader import read_clip
from ganad_tf.audio.reader import LOUDEST, check_samples, extensions, read

__all__ = ["LOUDEST", "check_samples", "extensions", "read", "read_clip"]
