"""Results: score files → AUC and pAUC, decisions, ensembles and comparisons; needs no TensorFlow.

`directory.py` owns the result directory, `score_files.py` reads and writes the challenge's files, `metrics.py` holds
AUC and pAUC, `thresholds.py` the decision threshold, `ensemble.py` combines several systems, `evaluate.py` writes
`result.csv`, `truth.py` evaluates any system's scores by labels from elsewhere, `compare.py` compares systems with the
figures of `published.py`. `official.py` holds the challenge's official scores since 2021, `official_files.py` makes
them from score files, `official_table.py` writes their result file. `submission.py` writes the folder of a submission,
with the meta file of `submission_meta.py`.
"""
