"""Whether scores depend on the machine ID of a clip, which it then has to come with."""

from ganad_tf.config.sections import Scorer
from ganad_tf.models import Detector


def needs_machine_ids(detector: Detector | type[Detector], scorer: Scorer) -> bool:
    """Whether a detector with a scorer needs the machine ID of each clip; then each machine has its density."""
    return detector.takes_machine_ids or (scorer.name == "density" and scorer.per_machine)
