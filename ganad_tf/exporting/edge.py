"""The verb `export --format`: a trained detector as one LiteRT or ONNX file, for small boards.

`exported_models/<name>.<format>/<version>/` holds the model, for clips of a fixed length and usually a fixed batch
size, and `ganad.json`. Each model is loaded in its own runtime and compared with the live detector before it is kept.
"""

import importlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ganad_tf.clips import evenly_spread
from ganad_tf.errors import ConfigError, DataError, ExportError
from ganad_tf.exporting import metadata, publishing, trained_system
from ganad_tf.exporting.examples import read_usable_clips
from ganad_tf.exporting.graph import known_machine_ids
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.files import atomic
from ganad_tf.results import metrics
from ganad_tf.run import MachineRun
from ganad_tf.serving.predict.edge import METADATA

logger = logging.getLogger(__name__)

Format = Literal["litert", "litert-int8", "onnx"]
Scores = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-3  # of the live score; the FFT runs in float32
N_CALIBRATION = 100  # clips


def export(
    run: MachineRun,
    name: str,
    form: Format,
    *,
    batch: int | None = None,
    seconds: float | None = None,
    quietly: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Path:
    """Exports one machine type's detector, or an ensemble of them.

    Args:
      run: Run of the machine type; its clips verify the export and, where labelled, give the AUC.
      name: Name of the model.
      form: `litert`, `litert-int8` or `onnx`.
      batch: Clips per call; None for any number in ONNX and 1 in LiteRT.
      seconds: Length of the clips; None for that of the shortest recording.
      quietly: Context manager that silences the converters, which write past Python's streams.

    Returns:
      Folder of the new version.

    Raises:
      ConfigError: If the runtime is not installed, or the detector was trained with different settings.
      DataError: If a file is missing or can't be read, or the folder can't be written.
      ExportError: If the exported model's scores differ from the live ones.
    """
    runtime = _runtime(form)
    model = Path(run.config.export_directory, f"{name}.{form}")
    is_any_batch = form == "onnx" and batch is None
    n_clips = batch or 1
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        inputs = trained_system.gather(run)
        _refuse_unsuitable(inputs, form)
        tests = _equal_clips(inputs, "test" if run.listing.clips_of("test") else "train", seconds)
        samples = tests[0][1].shape[0]
        with atomic.temporary_directory(model / "new") as draft:
            file = draft / runtime.FILE
            function = inputs.graph(precision="float32").fixed_size_function(n_clips, samples)
            calibration = _calibration_clips(inputs, n_clips, samples) if form == "litert-int8" else []
            convert = runtime.convert_for_any_batch if is_any_batch else runtime.convert
            with quietly():
                convert(function, file, *([calibration] if calibration else []))
                score = _score_in_batches(runtime.load(file), len(tests) if is_any_batch else n_clips)
                measured = _compare(inputs, tests, score, is_exact=form != "litert-int8")
            shape = {"format": form, "batch": None if is_any_batch else n_clips, "samples": samples}
            entries = metadata.collect(inputs, name) | shape | measured
            version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, entries))
    figures = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in measured.items())
    logger.info("%s: exported to %s; %s", run.machine, version, figures)
    return version


def _refuse_unsuitable(inputs: TrainedSystem, form: Format) -> None:
    """Refuses a system that needs more than the waveform of a clip, or operations that small boards lack."""
    if inputs.config.feature.encoder is not None:
        raise ExportError(f"Expected log-mels for --format {form}, and no `feature.encoder`, which takes waveforms.")
    if known_machine_ids(inputs.members):
        raise ExportError(f"Expected a detector without labels for --format {form}, which has no input for them.")


def _runtime(form: Format):  # type: ignore[no-untyped-def]  # a module
    """Module of a format; imports the packages of its extra."""
    extra = form.split("-")[0]
    try:
        return importlib.import_module(f"ganad_tf.exporting.{extra}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`--format {form}` needs {error.name}; install the extra: pip install 'ganad_tf[{extra}]'."
        ) from error


def _equal_clips(inputs: TrainedSystem, split: str, seconds: float | None) -> list[tuple[int | None, np.ndarray]]:
    """Labels and waveforms `[samples]` of a split's clips, cut to one length; shorter clips are left out."""
    config = inputs.config
    if config.dataset.name == "imported":
        raise ExportError("Expected recordings: without them an export for small boards can't be verified.")
    waveforms = read_usable_clips(inputs, inputs.run.listing.require_clips(split))
    rate, fewest = config.audio.sample_rate, inputs.shortest_clip()[0]
    length = round(seconds * rate) if seconds else min(map(len, waveforms.values()), default=0)
    if length < fewest:
        raise ConfigError(f"Expected clips of at least {fewest / rate:.3g} s. Received: {length / rate:.3g} s.")
    long_enough = [(clip.label, samples[:length]) for clip, samples in waveforms.items() if len(samples) >= length]
    if not long_enough:
        raise DataError(
            f"Expected {split} clips of {inputs.run.machine} of at least {length / rate:.3g} s; there are none."
        )
    return long_enough


def _calibration_clips(inputs: TrainedSystem, batch: int, samples: int) -> list[np.ndarray]:
    """Normal training clips for the ranges of 8-bit values, `[batch, samples]` each."""
    seconds = samples / inputs.config.audio.sample_rate
    normal = [waveform for label, waveform in _equal_clips(inputs, "train", seconds) if label == 0]
    return [
        np.stack([waveform] * batch)
        for waveform in (normal[index] for index in evenly_spread(len(normal), N_CALIBRATION))
    ]


def _score_in_batches(run: Callable[[np.ndarray], dict[str, np.ndarray]], batch: int) -> Scores:
    """Returns a function from `[clips, samples]` to scores `[clips]`; it pads the last batch with its last clip."""

    def score(waveforms: np.ndarray) -> np.ndarray:
        scores: list[np.ndarray] = []
        for start in range(0, len(waveforms), batch):
            part = waveforms[start : start + batch]
            padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
            scores.append(run(padded)["anomaly_score"][: len(part)])
        return np.concatenate(scores)

    return score


def _compare(
    inputs: TrainedSystem, tests: list[tuple[int | None, np.ndarray]], run: Scores, *, is_exact: bool
) -> dict[str, float]:
    """Largest relative difference from the live scores and, if all clips are labelled, both AUCs."""
    waveforms = np.stack([waveform for _, waveform in tests])
    live = inputs.live_scores(inputs.live_log_mels(waveforms))
    exported = run(waveforms)
    difference = float((np.abs(exported - live) / inputs.scale(live)).max())
    if not np.isfinite(difference) or (is_exact and difference > TOLERANCE):
        raise ExportError(
            f"The exported model does not score like the live detector: it differs by {difference:.2g} of the live "
            "score; nothing was exported."
        )
    labels = [label for label, _ in tests if label is not None]
    measured = {"largest_difference_from_live": difference}
    if set(labels) == {0, 1} and len(labels) == len(tests):
        score_sets = {"auc_live": live, "auc_exported": exported}
        measured |= {name: metrics.auc(labels, scores.tolist()) for name, scores in score_sets.items()}
    return measured
