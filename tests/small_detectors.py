"""Arguments of small detectors, for tests that go through all of them."""

from collections.abc import Sequence
from typing import Any

from ganad_tf.models import DETECTORS

WITHOUT_WEIGHTS = ("SpectrumDensity",)
TAKES_LOSS = ("DenseAE", "IDNN")
ADVERSARIAL = ("EGBAD", "FAnoGAN", "GANomaly", "SkipGANomaly")
DENSITY = ("GMADE",)  # no bottleneck; the score is a negative log-density, of either sign
LEARNERS = [name for name in DETECTORS if name not in WITHOUT_WEIGHTS]
WITH_BOTTLENECK = [name for name in LEARNERS if name not in DENSITY]
LOSS = {name: {"loss": "mean_squared_error"} if name in TAKES_LOSS else {} for name in DETECTORS}


def arguments(name: str, hidden: Sequence[int] = (16,), latent: int = 4, frames: int | None = None) -> dict[str, Any]:
    """Arguments of the constructor that make a small detector.

    Args:
      name: Name of the detector.
      hidden: Units of its layers.
      latent: Units of its bottleneck, if it has one.
      frames: Spectra of a window, for detectors that take them; None for their default, as `build` gives them.
    """
    if name in WITHOUT_WEIGHTS:
        return {}
    sizes: dict[str, Any] = {"hidden": list(hidden)} | ({"components": 2} if name in DENSITY else {"latent": latent})
    # Two of each, because each is traced.
    sizes |= {"MPDR": {"steps": 2}, "FAnoGAN": {"critic_steps": 2}}.get(name, {})
    takes_frames = frames is not None and name in ("IDNN", *DENSITY)
    return sizes | ({"frames": frames} if takes_frames else {})
