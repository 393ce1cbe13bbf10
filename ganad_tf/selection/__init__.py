"""Selection of a machine type's scorer and of its ensemble's weights, without labels.

In: a run whose log-mels are in the cache. Out: settings for `machines` in a YAML file, and the evidence for them. Some
normal clips are left out of a trial training, corrupted copies of them are made (`corruptions.py`), both are scored
(`trials.py`), and the candidates are compared by how well they tell one from the other (`evidence.py`, `select.py`);
`words.py` writes it down. `cli` and `estimator` import this folder.
"""

from ganad_tf.selection.select import Candidate, Choice, select

__all__ = ["Candidate", "Choice", "select"]
