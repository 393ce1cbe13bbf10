"""Exported models in use: the verbs `predict` and `serve`.

In: versions of models made by `ganad export`, and audio files or requests. Out: anomaly score, decision and threshold
of each clip. Nothing here knows how a detector was trained: a model's signatures and `ganad.json` say all that is
needed.

- `models/`: the folder of models: versions, loading, warm-up, signatures, batching, WAV files.
- `predict/`: files → predictions in this process (`local.py`), by LiteRT or ONNX (`edge.py`), or by a server
  (`client.py`).
- `protocols/`: TensorFlow Serving's REST API and the Open Inference Protocol as JSON and bytes, without a server.
- `http/`, `grpc/`: servers of these protocols.
- `service.py`: the bounded queue between servers and models; `server.py`: start and shutdown; `access.py`: token, CORS
  and TLS; `limits.py`, `metrics.py`, `logs.py`, `refusals.py`: bounds, Prometheus, log lines, errors with a status.

Terms: a *signature* is a named function of a model with named inputs and outputs, an *artifact* is one loaded version,
a *refusal* is an error that a client or the load has caused. `server.py` imports `http/`; both servers import
`service.py` and `protocols/`; these import `models/`, which imports nothing else from here. `predict/` imports
`models/` alone. `cli`, `exporting` and tests may import this package.
"""
