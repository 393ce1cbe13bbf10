"""Pictures: arrays → figures, for TensorBoard and for the report.

`style.py` holds colours, line styles and axes, `spectrograms.py` and `charts.py` draw.
"""
