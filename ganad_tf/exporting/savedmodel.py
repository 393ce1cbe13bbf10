"""The verb `export`: a trained detector → `exported_models/<name>/<version>/`.

A version appears under its number when it has been verified; what is there is never overwritten.
"""

import logging
import tempfile
from functools import partial
from pathlib import Path

import tensorflow as tf

from ganad_tf.errors import ConfigError
from ganad_tf.exporting import examples, members, metadata, publishing, serving_files, verify
from ganad_tf.exporting.graph import SoundScorer
from ganad_tf.exporting.members import ExportInputs
from ganad_tf.files import atomic, tensorflow_errors
from ganad_tf.run import MachineRun
from ganad_tf.serving.models.versions import METADATA

logger = logging.getLogger(__name__)

MOST_SAMPLES = 2**30  # the graph counts in int32


def export(run: MachineRun, name: str, *, longest_seconds: float = 600.0) -> Path:
    """Exports one machine type's detector, or an ensemble of them.

    Args:
      run: The machine type's run; some of its clips are scored to verify the export.
      name: Name of the model.
      longest_seconds: Longer clips are refused by the model, before anything of their size is allocated.

    Returns:
      The folder of the new version.

    Raises:
      DataError: If something is missing, can't be read, or the folder can't be written.
      ConfigError: If the detector was trained with other settings, or no clip is short enough to be scored.
      ExportError: If members don't fit together, or the exported model scores otherwise than the live one.
    """
    model = Path(run.config.export_directory, name)
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        inputs = members.gather(run)
        longest = _longest_samples(inputs, longest_seconds)
        clips = examples.example_clips(inputs, longest)
        with atomic.temporary_directory(model / "new") as draft:
            _save(inputs.graph(longest_samples=longest), draft)
            known = metadata.notes_of(inputs, name)
            known["input"]["longest_samples"] = longest
            metadata.write(draft / METADATA, known)
            with tempfile.TemporaryDirectory() as scratch:
                difference = verify.verify(draft, inputs, clips, Path(scratch))
            known |= {"largest_difference_from_live": difference}
            version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, known))
    serving_files.write(Path(run.config.export_directory))
    logger.info("%s: exported to %s, within %.1e of the live scores", run.machine, version, difference)
    return version


def _longest_samples(inputs: ExportInputs, seconds: float) -> int:
    rate, fewest = inputs.config.audio.sample_rate, inputs.shortest_clip()[0]
    samples = round(seconds * rate)
    if not fewest <= samples < MOST_SAMPLES:
        raise ConfigError(
            f"Expected --longest of at least {fewest / rate:.3g} s, the shortest clip that can be scored, and below "
            f"{MOST_SAMPLES / rate:.4g} s. Received: {seconds:.6g} s."
        )
    return samples


def _save(graph: SoundScorer, directory: Path) -> None:
    """Writes a SavedModel with the functions as they are traced, weights included."""
    functions = {name: function.get_concrete_function() for name, function in graph.functions.items()}
    signatures = {**functions, "serving_default": functions["score_waveform"]}
    with tensorflow_errors.writing():
        tf.saved_model.save(tf.Module(), str(directory), signatures)
