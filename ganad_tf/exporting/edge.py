"""The verb `export --format`: a trained detector for a small board, as one file for LiteRT or ONNX.

`exported_models/<name>.<format>/<version>/` holds the model, for a fixed number of clips of a fixed length, and
`ganad.json`. What is kept has been loaded in its own runtime and compared with the live detector.
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
from ganad_tf.exporting import members, metadata, publishing
from ganad_tf.exporting.examples import readable
from ganad_tf.exporting.members import ExportInputs
from ganad_tf.files import atomic
from ganad_tf.results import metrics
from ganad_tf.run import MachineRun
from ganad_tf.serving.predict.edge import METADATA

logger = logging.getLogger(__name__)

Format = Literal["litert", "litert-int8", "onnx"]
Scores = Callable[[np.ndarray], np.ndarray]
TOLERANCE = 1e-3  # of the live score: the FFT is a float32 one
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
      run: The machine type's run; some of its clips verify the export, and those with labels measure it.
      name: Name of the model.
      form: `litert`, `litert-int8` or `onnx`.
      batch: Clips that the model takes at a time; None for any number in ONNX and for 1 in LiteRT.
      seconds: Their length; that of the recordings unless it is given.
      quietly: Around the converters, which write past Python; the command line silences them.

    Returns:
      The folder of the new version.

    Raises:
      ConfigError: If the runtime is not installed, or the detector was trained with other settings.
      DataError: If something is missing, can't be read, or the folder can't be written.
      ExportError: If the exported model scores otherwise than the live one.
    """
    runtime = _runtime(form)
    model = Path(run.config.export_directory, f"{name}.{form}")
    is_any_batch = form == "onnx" and batch is None
    n_clips = batch or 1
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        inputs = members.gather(run)
        tests = _fixed(inputs, "test" if run.listing.clips_of("test") else "train", seconds)
        samples = tests[0][1].shape[0]
        with atomic.temporary_directory(model / "new") as draft:
            file = draft / runtime.FILE
            function = inputs.graph(precision="float32").fixed(n_clips, samples)
            calibration = _calibration(inputs, n_clips, samples) if form == "litert-int8" else []
            convert = runtime.convert_for_any_batch if is_any_batch else runtime.convert
            with quietly():
                convert(function, file, *([calibration] if calibration else []))
                score = _in_batches(runtime.load(file), len(tests) if is_any_batch else n_clips)
                found = _compare(inputs, tests, score, is_exact=form != "litert-int8")
            shape = {"format": form, "batch": None if is_any_batch else n_clips, "samples": samples}
            known = metadata.notes_of(inputs, name) | shape | found
            version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, known))
    said = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in found.items())
    logger.info("%s: exported to %s; %s", run.machine, version, said)
    return version


def _runtime(form: Format):  # type: ignore[no-untyped-def]  # a module
    """The module of a format, whose packages are an extra."""
    extra = form.split("-")[0]
    try:
        return importlib.import_module(f"ganad_tf.exporting.{extra}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`--format {form}` needs {error.name}; install the extra: pip install 'ganad_tf[{extra}]'."
        ) from error


def _fixed(inputs: ExportInputs, split: str, seconds: float | None) -> list[tuple[int | None, np.ndarray]]:
    """Labels and samples of a split's clips, all of one length; shorter ones are left out."""
    config = inputs.config
    if config.dataset.name == "imported":
        raise ExportError("Expected recordings: without them an export for small boards can't be verified.")
    waveforms = readable(inputs, inputs.run.listing.require_clips(split))
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


def _calibration(inputs: ExportInputs, batch: int, samples: int) -> list[np.ndarray]:
    """Normal training clips, `[batch, samples]` each."""
    seconds = samples / inputs.config.audio.sample_rate
    normal = [waveform for label, waveform in _fixed(inputs, "train", seconds) if label == 0]
    return [
        np.stack([waveform] * batch)
        for waveform in (normal[index] for index in evenly_spread(len(normal), N_CALIBRATION))
    ]


def _in_batches(run: Callable[[np.ndarray], dict[str, np.ndarray]], batch: int) -> Scores:
    """`[clips, samples]` → `[clips]`; the last batch is filled with its last clip."""

    def score(waveforms: np.ndarray) -> np.ndarray:
        scores: list[np.ndarray] = []
        for start in range(0, len(waveforms), batch):
            part = waveforms[start : start + batch]
            filled = np.concatenate([part, np.repeat(part[-1:], batch - len(part), axis=0)])
            scores.append(run(filled)["anomaly_score"][: len(part)])
        return np.concatenate(scores)

    return score


def _compare(
    inputs: ExportInputs, tests: list[tuple[int | None, np.ndarray]], run: Scores, *, is_exact: bool
) -> dict[str, float]:
    """How far the exported scores are from the live ones and, where there are labels, both AUCs."""
    waveforms = np.stack([waveform for _, waveform in tests])
    live = inputs.live_scores(inputs.live_log_mels(waveforms))
    exported = run(waveforms)
    difference = float((np.abs(exported - live) / inputs.scale(live)).max())
    if not np.isfinite(difference) or (is_exact and difference > TOLERANCE):
        raise ExportError(
            f"The exported model does not score as the live detector: it differs by {difference:.2g} of the score; "
            "nothing was exported."
        )
    labels = [label for label, _ in tests if label is not None]
    found = {"largest_difference_from_live": difference}
    if set(labels) == {0, 1} and len(labels) == len(tests):
        both = {"auc_live": live, "auc_exported": exported}
        found |= {name: metrics.auc(labels, scores.tolist()) for name, scores in both.items()}
    return found
