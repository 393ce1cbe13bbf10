"""Findings: a clip and the healthy machine's sound → words about the difference, such as a tone at 1200 Hz.

`healthy.py` describes the normal training clips, `evidence.py` compares a clip with them, `spectra.py` measures
frequencies and rates in its samples, `kinds.py` has one function per kind of finding, `explain.py` puts them together,
and `finding.py` holds the result. Needs no TensorFlow, and of an exported model nothing but its `healthy.json`.
"""
