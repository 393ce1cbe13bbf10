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
ADVERSARIAL = ("AEGAN", "EGBAD", "FAnoGAN", "GANomaly", "SAGAN", "SkipGANomaly")
DENSITY = ("GMADE",)  # no bottleneck; the score is a negative log-density, of either sign
RECURRENT = ("DRINK",)  # nor has it a bottleneck: its states are as long as a frame
WITHOUT_CODE = ("TIAE",)  # a U-Net, of which no vector stands for a window
LEARNERS = [name for name in UNLABELLED if name not in WITHOUT_WEIGHTS]
RECONSTRUCTING = [name for name in LEARNERS if name not in DENSITY + RECURRENT]
WITH_BOTTLENECK = [name for name in RECONSTRUCTING if name not in WITHOUT_CODE]
CONVOLUTIONAL = [name for name in UNLABELLED if DETECTORS[name].convolves]
WITH_DROPOUT = [name for name in LEARNERS if "dropout" in inspect.signature(DETECTORS[name]).parameters]
LOSS = {name: {"loss": "mean_squared_error"} if name in TAKES_LOSS else {} for name in UNLABELLED}


def arguments(name: str, hidden: Sequence[int] = (16,), latent: int = 4, frames: int | None = None) -> dict[str, Any]:
    """Arguments of the constructor that make a small detector.

    Args:
      name: Name of the detector.
      hidden: Units of its layers.
      latent: Units of its bottleneck, if it has one.
      frames: Spectra of a window, for detectors that take them; None for their default, as `build` gives them.
    """
    sizes = {"hidden": list(hidden), "latent": latent, "frames": frames, "base": 4, "discriminator_base": 4}
    sizes |= {"units": hidden[0]}
    sizes |= dict.fromkeys(("components", "steps", "critic_steps", "levels"), 2)  # of what is traced one by one
    known = inspect.signature(DETECTORS[name]).parameters
    return {key: value for key, value in sizes.items() if key in known and value is not None}
