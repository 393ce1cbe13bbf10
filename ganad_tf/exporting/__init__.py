"""The verb `export`: a trained detector, or an ensemble → one verified model that takes sound and returns scores.

In: model directories, training scores, and a few clips for verification. Out: a new version in
`exported_models/<name>/<version>/` (SavedModel) or `exported_models/<name>.<format>/<version>/` (LiteRT, ONNX), with
`ganad.json`, and the configuration files of TensorFlow Serving.

`trained_system.py` reads detectors, scorers and training scores; `graph.py` joins features, networks, scorers and
threshold in one graph, with `deciding.py` for thresholds and p-values, `machine_ids.py` for systems that need them,
`checks.py` and `guards.py` for bad input, `explaining.py` for the signature `explain` and `audio_format_signature.py`
for `audio_format`. `savedmodel.py` and `edge.py` run the export; `litert.py` and `onnx.py` convert;
`examples.py` chooses clips and `verify.py` compares their scores with the live detector's. `metadata.py` writes
`ganad.json`, in which `portable.py` keeps no private paths. `publishing.py` numbers versions, `serving_files.py`
configures TensorFlow Serving, and `current.py` tells whether a detector is exported already.

`fleet.py` exports many machines as one model: `fleet_settings.py` refuses those that do not fit together,
`fleet_arrays.py` has what differs between them, `fleet_graph.py` the graph, and `fleet_replacement.py` exports one
machine anew.

Terms: a *member* is a detector with its fitted scorer, *live* scores are those of the training code, an *edge* model is
a LiteRT or ONNX file for a fixed clip length. Only `cli` imports this package.
"""
