"""A trained detector → one artifact that takes sound and returns an anomaly score.

`gathering` reads what was trained, `graph` puts it into one graph, `savedmodel` writes that graph where
TensorFlow Serving looks for it, `edge` for small boards, and `verification` lets nothing pass that scores
otherwise than the live detector.
"""
