"""Files that survive: written in one step, locked while they are written, known by checksums.

`atomic.py` replaces files and folders in one step, `lock.py` lets one process write at a time, `checksummed.py` tells
a damaged file, `throttle.py` says how often progress is written down. Nothing here knows of clips or settings; every
room that writes imports it.
"""
