"""What a terminal shows while something takes long, all of it on stderr."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ganad_tf.sections import Fit


def bar(label: str) -> Any:
    """Wraps an iterable in a progress bar; silent where stderr is no terminal."""
    return lambda items, total: tqdm(items, total=total, desc=label, disable=None, leave=False, unit="clip")


@contextmanager
def epochs(fit: Fit, machine: str) -> Iterator[tuple[Any, ...]]:
    """Keras callbacks that show one bar over all epochs."""
    import keras

    with tqdm(
        total=fit.epochs,
        desc=f"{machine} train",
        disable=None if fit.verbose else True,
        leave=False,
        unit="epoch",
    ) as bar:

        def show(epoch: int, logs: dict[str, float]) -> None:
            del epoch
            bar.set_postfix({name: f"{logs[name]:.4g}" for name in ("loss", "val_loss") if name in logs}, refresh=False)
            bar.update()

        yield (keras.callbacks.LambdaCallback(on_epoch_end=show),)


def import_tensorflow(*, for_serving: bool = False) -> None:
    """Imports TensorFlow without the lines that its libraries write past Python to stderr.

    Args:
      for_serving: One thread per operation: clips in parallel are faster than parts of one clip in parallel.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if for_serving:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    with silenced():
        import tensorflow as tf

        tf.constant(0)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice is for whoever writes the graph


@contextmanager
def silenced() -> Iterator[None]:
    """Keeps what libraries write past Python, and warn of, from stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
