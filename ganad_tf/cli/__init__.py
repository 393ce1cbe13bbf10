"""The command line: `ganad VERB CONFIG.yaml`.

`main.py` holds the verbs and exit codes, `arguments.py` the grammar, `stages.py` runs a verb over all machine types,
`export_verbs.py` holds `export`, `predict` and `serve`, `terminal.py` shows progress. Process-wide switches are set
here and nowhere else. Nothing imports this folder.
"""
