"""Anomaly detection in machine sound with generative adversarial networks.

Clips go in at the left, one number per clip comes out at the right:

    config → datasets → audio → features → cache → models → training → scoring → results → report

Nothing is imported here, so that `import ganad_tf` costs nothing: take `ganad_tf.models`, `ganad_tf.features` and so on
where they are needed.
"""

__version__ = "0.1.0"
