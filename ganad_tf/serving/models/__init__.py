"""Models made by `ganad export`: a folder of versions → loaded models that take and return named arrays.

`versions.py` reads the folder, `inventory.py` keeps the books, `repository.py` loads and replaces, `warming.py` makes
the first calls, and `artifact.py` is one loaded version. `batching.py` joins requests into one call, `bad_clip.py`
names the clip that a call refuses. `signature.py` describes inputs and outputs, `audio_format.py` and `wav.py` what
clips must look like, and `metadata.py` reads `ganad.json`. `replay.py` scores clips in a process of its own to verify
an export.

Only `artifact.py`, `inventory.py`, `repository.py`, `warming.py` and `replay.py` need TensorFlow.
"""
