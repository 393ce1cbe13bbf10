"""Configuration: one YAML file, the argument of every verb → frozen dataclasses.

A file and `--set key=value` overrides go in; a `Config` comes out, or one sentence about what is wrong. `sections.py`
holds the keys of each section with their defaults, `dataset.py` those of the section `dataset`, `experiment.py` the
top-level keys and derived values, `automatic.py` what the dataset decides. `reader.py` checks names and types,
`layers.py` lays settings over one another, `yaml_text.py` defines the YAML dialect, `paths.py` expands paths and
`shipped.py` finds the files that come with the package. Everything above `config` may import it.
"""

from ganad_tf.config.experiment import (
    FEATURE_VERSION,
    PAPER_DIRECTORY,
    Config,
    Mode,
    from_mapping,
    load,
    to_dict,
)
from ganad_tf.config.layers import MACHINE_SECTIONS, read_yaml
from ganad_tf.config.sections import Threshold
from ganad_tf.config.shipped import recommended, shipped

__all__ = [
    "FEATURE_VERSION",
    "MACHINE_SECTIONS",
    "PAPER_DIRECTORY",
    "Config",
    "Mode",
    "Threshold",
    "from_mapping",
    "load",
    "read_yaml",
    "recommended",
    "shipped",
    "to_dict",
]
