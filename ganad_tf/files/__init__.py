"""Reliable files: atomic replacement, locks and checksums.

`atomic.py` replaces files and folders in one step, `lock.py` lets one process write at a time, `checksummed.py`
detects damaged files, `tensorflow_errors.py` translates TensorFlow's write errors, `throttle.py` limits how often
progress is saved. Independent of clips and settings; every folder that writes files imports it.
"""
