"""Arguments of small detectors, for tests that go through all of them."""

import inspect
from collections.abc import Sequence
from typing import Any

from ganad_tf.models import DETECTORS

LABELLED = [name for name, kind in DETECTORS.items() if kind.takes_machine_ids]  # see test_machine_ids.py
OF_FILES = ("Encoder",)  # see test_encoder.py
UNLABELLED = [name for name in DETECTORS if name not in (*LABELLED, *OF_FILES)]
WITHOUT_WEIGHTS = ("SpectrumDensity",)
TAKES_LOSS = ("DenseAE", "DRINK", "IDNN")
ADVERSARIAL = ("EGBAD", "FAnoGAN", "GANomaly", "SkipGANomaly")
DENSITY = ("GMADE",)  # no bottleneck; the score is a negative log-density, of either sign
RECURRENT = ("DRINK",)  # nor has it a bottleneck: its states are as long as a frame
LEARNERS = [name for name in UNLABELLED if name not in WITHOUT_WEIGHTS]
WITH_BOTTLENECK = [name for name in LEARNERS if name not in DENSITY + RECURRENT]
LOSS = {name: {"loss": "mean_squared_error"} if name in TAKES_LOSS else {} for name in UNLABELLED}


def arguments(name: str, hidden: Sequence[int] = (16,), latent: int = 4, frames: int | None = None) -> dict[str, Any]:
    """Arguments of the constructor that make a small detector.

    Args:
      name: Name of the detector.
      hidden: Units of its layers.
      latent: Units of its bottleneck, if it has one.
      frames: Spectra of a window, for detectors that take them; None for their default, as `build` gives them.
    """
    # Two of what is traced one by one.
    sizes = {"hidden": list(hidden), "latent": latent, "frames": frames, "components": 2, "steps": 2, "critic_steps": 2}
    sizes |= {"units": hidden[0]}
    known = inspect.signature(DETECTORS[name]).parameters
    return {key: value for key, value in sizes.items() if key in known and value is not None}
