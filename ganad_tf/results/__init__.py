"""Results: score files → AUC and pAUC, decisions, ensembles and comparisons; needs no TensorFlow.

`score_files.py` reads and writes the challenge's files, `metrics.py` and `thresholds.py` compute, `ensemble.py`
combines several systems, `evaluate.py` writes `result.csv`, `compare.py` sets systems beside the figures of
`published.py`.
"""
