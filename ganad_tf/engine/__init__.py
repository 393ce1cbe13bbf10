"""Units of work and the workers that run them, in this process or on a Ray cluster.

In: units (`units.py`), each a verb on a slice of an experiment, such as `train` on one machine type. A unit is
idempotent: it is finished when the files that it writes say so, and each of them appears by one atomic rename. So a
unit that is run again after a kill does what is left of it, or nothing. `driver.py` knows which unit needs which and
hands them out, `board.py` counts them, `failures.py` keeps the machine types that have failed, `ray_workers.py` runs
units on a Ray cluster. This folder knows nothing of recordings and detectors; `cli` makes the units, and
`cli/sending.py` has those fetch and publish whose directories are URLs.
"""
