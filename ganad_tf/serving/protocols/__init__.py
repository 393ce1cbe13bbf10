"""Protocols as values: JSON and bytes of a request → named arrays, named arrays → JSON and bytes of a response.

`rest.py` is TensorFlow Serving's REST API, `open_inference.py` the Open Inference Protocol with its binary extension
in `binary_tensors.py`; `base64_text.py` decodes base64, and `parsing.py` bounds and parses request bodies.
"""
