"""Scoring: a trained detector and cached clips → one anomaly score per clip; higher is more anomalous.

`score.py` is the verb. `clip_scores.py` holds the arithmetic from a detector's windows to one value per clip,
`clip_values.py` applies it to a clip or a cache with a trained detector. `densities.py` holds the densities of clips'
vectors, with `neighbors.py` and `regularization.py`, `compound_densities.py` those that consist of several,
`domain_densities.py` those that tell two domains apart, and `fit.py` fits them to the training clips;
`machine_ids.py` tells whether there is one per machine. `folds.py` and `calibration.py` score clips that were left
out of training, `recordings.py` tells which clips are not judged. `model_directory.py` owns
`model_directory/<mode>/<machine>`, `partial_scores.py` keeps the scores of an interrupted pass, `reconstruct.py`
computes a clip's reconstruction.
"""
