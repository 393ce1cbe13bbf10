"""Trials of a search for TensorBoard's HParams tab."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api

from ganad_tf.tensorboard.hparams import as_shown
from ganad_tf.tensorboard.writer import remove_events


def write_trial(log_dir: Path, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
    """Writes one row of the HParams tab; replaces that of an earlier time.

    Args:
      log_dir: Directory of the trial.
      settings: Hyperparameters by name.
      values: Metrics by name.
    """
    remove_events(log_dir)
    with tf.summary.create_file_writer(str(log_dir)).as_default(step=0) as writer:
        api.hparams(as_shown(settings), trial_id=log_dir.name)
        for name, value in values.items():
            tf.summary.scalar(name, value)
        writer.flush()
