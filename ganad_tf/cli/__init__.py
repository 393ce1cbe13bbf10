"""The command line: `ganad VERB CONFIG.yaml`.

`main.py` holds the entry point and the verbs, `export_verbs.py` the verbs `export`, `predict` and `serve`,
`arguments.py` the arguments of each verb, `stages.py` runs a stage over all machine types, `wide.py` and `preparing.py`
have it run by other processes, `terminal.py` shows progress, `interrupts.py` keeps Ctrl-C from being lost, `streams.py`
and `environment.py` prepare the process. Process-wide switches are set here and nowhere else. Nothing imports this
folder.
"""
