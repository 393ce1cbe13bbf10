"""The command line: `ganad VERB CONFIG.yaml`.

`main.py` holds the entry point and the verbs, `arguments.py` the arguments of each. What takes more than a few lines is
elsewhere: `export_verbs.py` (`export`, `predict` and `serve`), `downloading.py`, `listing.py`, `searching.py`,
`selecting.py`, and `folders.py` for `run FOLDER`, whose output `projects.py` owns. `workflow.py` runs several stages,
`stages.py` one over all machine types; `wide.py`, `preparing.py` and `sending.py` have it run by other processes.
`remote.py` fetches and publishes directories that are URLs, those that `needs.py` lists. `terminal.py` shows progress,
`interrupts.py` keeps Ctrl-C from being lost, `streams.py` and `environment.py` prepare the process. Process-wide
switches are set here and nowhere else. Nothing imports this folder.
"""
