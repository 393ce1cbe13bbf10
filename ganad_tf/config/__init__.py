"""One YAML file is the argument of every verb; here it becomes frozen dataclasses.

A file and `--set key=value` overrides go in, a `Config` comes out, or one sentence about what is wrong. `sections.py`
holds the keys of each section with their defaults, `experiment.py` the top level and what follows from it, `reader.py`
checks names and types, `yaml_text.py` and `paths.py` say what YAML and paths mean here. Everything above imports it.
"""

from ganad_tf.config.experiment import (
    FEATURE_VERSION,
    OWN_SECTIONS,
    PAPER_DIRECTORY,
    Config,
    Mode,
    from_mapping,
    load,
    to_dict,
)

__all__ = ["FEATURE_VERSION", "OWN_SECTIONS", "PAPER_DIRECTORY", "Config", "Mode", "from_mapping", "load", "to_dict"]
