"""Search of settings: trials of one machine type's settings, ranked by one objective.

In: a YAML file's mapping with a section `search`, and a run per machine type. Out: a ranked table, `trials.csv`, plots
and `best.yaml`. `space.py` says which settings there are, `study.py` which comes next (optuna), `objectives.py` what a
trial is worth, `trial.py` runs one, `trials.py` lets any process run it, `records.py` keeps its result, `halving.py`
ends trials early, `search.py` puts these together and can be killed at any moment, `outputs.py` writes what is found.
`cli` imports this folder.
"""
