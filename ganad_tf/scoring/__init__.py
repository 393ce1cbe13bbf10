"""Scoring: a trained detector and cached clips → one anomaly score per clip; higher is more anomalous.

`score.py` is the verb, `clip_scores.py` turns a clip's windows into one number, `densities.py` says how unusual a
residual is, `fit.py` fits that to the training clips, `model_directory.py` owns `model_directory/<mode>/<machine>`,
`reconstruct.py` shows what a detector makes of a clip. Training, exporting and the report import this folder.
"""
