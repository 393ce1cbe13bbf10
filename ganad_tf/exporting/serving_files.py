"""Configuration files of TensorFlow Serving: the list of models and the batching parameters."""

from pathlib import Path

from ganad_tf.files import atomic
from ganad_tf.serving.models.versions import models

MODELS, BATCHING = "models.config", "batching.config"

# https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/serving_config.md
_MODEL = """  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
"""
# `score_wav` accepts clips of different lengths in one batch; the other signatures need equal lengths.
_BATCHING = """max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
"""


def write(folder: Path) -> None:
    """Writes both files into a folder of exported models, which TensorFlow Serving mounts as `/models`."""
    atomic.write_text(folder / BATCHING, _BATCHING)
    written: list[str] | None = None
    while written != (names := list(models(folder))):  # a concurrent export may have added a model meanwhile
        configs = "".join(_MODEL.format(name=name) for name in names)
        atomic.write_text(folder / MODELS, f"model_config_list {{\n{configs}}}\n")
        written = names
