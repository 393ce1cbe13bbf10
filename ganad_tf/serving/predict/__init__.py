"""The verb `predict`: audio files → `Prediction`s, one per file and in order.

`local.py` scores with a SavedModel in this process, `edge.py` with LiteRT or ONNX, and `client.py` on a server through
`http_client.py` or `grpc_client.py`. `predictions.py` formats the results.
"""
