"""The verb `export`: a trained detector → SavedModel in `exported_models/<name>/<version>/`.

A version appears only after it has been verified; existing versions are never overwritten.
"""

import logging
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import tensorflow as tf

from ganad_tf.errors import ConfigError
from ganad_tf.exporting import examples, metadata, publishing, serving_files, trained_system, verify
from ganad_tf.exporting.graph import SoundScorer
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.files import atomic, tensorflow_errors
from ganad_tf.run import MachineRun
from ganad_tf.serving.models.versions import HEALTHY, METADATA

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 600.0  # of a clip, unless another limit is asked for
MOST_SAMPLES = 2**30  # the graph counts samples in int32


def export(run: MachineRun, name: str, *, longest_seconds: float = LONGEST_SECONDS) -> Path:
    """Exports one machine type's detector, or an ensemble of them.

    Args:
      run: Run of the machine type; some of its clips verify the export.
      name: Name of the model.
      longest_seconds: Maximum length of a clip; the model refuses longer ones before it allocates memory for them.

    Returns:
      Folder of the new version.

    Raises:
      DataError: If a file is missing or can't be read, or the folder can't be written.
      ConfigError: If the detector was trained with different settings, or `longest_seconds` is out of range.
      ExportError: If the members do not fit together, or the exported model's scores differ from the live ones.
    """
    model = Path(run.config.export_directory, name)
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        inputs = trained_system.gather(run)
        longest = longest_samples(inputs, longest_seconds)
        clips = examples.example_clips(inputs, longest)
        with atomic.temporary_directory(model / "new") as draft:
            save(inputs.graph(longest_samples=longest), draft)
            entries = metadata.collect(inputs, name)
            entries["input"]["longest_samples"] = longest
            metadata.write(draft / METADATA, entries)
            if inputs.healthy:
                atomic.write_text(draft / HEALTHY, inputs.healthy.dump())
            with tempfile.TemporaryDirectory() as scratch:
                difference = verify.verify(draft, inputs, clips, Path(scratch))
            entries |= {"largest_difference_from_live": difference}
            version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, entries))
    serving_files.write(Path(run.config.export_directory))
    logger.info("%s: exported to %s, within %.1e of the live scores", run.machine, version, difference)
    return version


def longest_samples(inputs: TrainedSystem, seconds: float) -> int:
    """Number of samples of the longest clip that an export accepts.

    Raises:
      ConfigError: If no clip of that length can be scored, or the graph can't count its samples.
    """
    rate, fewest = inputs.config.audio.sample_rate, inputs.shortest_clip()[0]
    samples = round(seconds * rate)
    if not fewest <= samples < MOST_SAMPLES:
        raise ConfigError(
            f"Expected --longest of at least {fewest / rate:.3g} s, the shortest clip that can be scored, and below "
            f"{MOST_SAMPLES / rate:.4g} s. Received: {seconds:.6g} s."
        )
    return samples


def save(graph: SoundScorer, directory: Path, *, variables: Mapping[str, tf.Variable] | None = None) -> None:
    """Writes the traced functions as a SavedModel, with the weights as constants but for those of frozen networks.

    Args:
      graph: The functions.
      directory: Where to.
      variables: Other variables that the functions use.
    """
    functions = {name: function.get_concrete_function() for name, function in graph.functions.items()}
    signatures = {**functions, "serving_default": functions["score_waveform"]}
    owner = tf.Module()
    owner.networks = graph.networks
    owner.stacked = dict(variables or {})
    with tensorflow_errors.as_oserror():
        tf.saved_model.save(owner, str(directory), signatures)
