"""The verb `export`: a trained detector → `exported_models/<name>/<version>/`.

A version appears under its number when it has been verified; what is there is never overwritten.
"""

import logging
import tempfile
from functools import partial
from pathlib import Path

import tensorflow as tf

from ganad_tf import atomic, tensorflow_files
from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode
from ganad_tf.exporting import examples, gathering, notes, publishing, serving_files, verification
from ganad_tf.exporting.graph import SoundScorer
from ganad_tf.serving.versions import METADATA

logger = logging.getLogger(__name__)


def export(config: Config, name: str, listing: Listing, mode: Mode) -> Path:
    """Exports one machine type's detector, or an ensemble of them.

    Args:
      config: The experiment, as it is for this machine type.
      name: What the model is called.
      listing: The machine type's clips; some are scored to verify the export.
      mode: `dev` or `eval`.

    Returns:
      The folder of the new version.

    Raises:
      DataError: If something is missing, can't be read, or the folder can't be written.
      ConfigError: If the detector was trained with other settings.
      ExportError: If members don't fit together, or the exported model scores otherwise than the live one.
    """
    model = Path(config.export_directory, name)
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        gathered = gathering.gather(config, listing, mode)
        clips = examples.example_clips(gathered, listing, mode)
        with atomic.temporary_directory(model / "new") as draft:
            _save(gathered.graph(), draft)
            known = notes.notes_of(gathered, name, listing.machine)
            notes.write(draft / METADATA, known)
            with tempfile.TemporaryDirectory() as scratch:
                difference = verification.verify(draft, gathered, clips, Path(scratch))
            known |= {"largest_difference_from_live": difference}
            version = publishing.publish(draft, model, partial(notes.write, draft / METADATA, known))
    serving_files.write(Path(config.export_directory))
    logger.info("%s: exported to %s, within %.1e of the live scores", listing.machine, version, difference)
    return version


def _save(graph: SoundScorer, directory: Path) -> None:
    """Writes a SavedModel with the functions as they are traced, weights included."""
    functions = {name: function.get_concrete_function() for name, function in graph.functions.items()}
    signatures = {**functions, "serving_default": functions["score_waveform"]}
    with tensorflow_files.writing():
        tf.saved_model.save(tf.Module(), str(directory), signatures)
