"""A trained detector on disk: what was saved is loaded, and anything else is one sentence that says what to do."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from ganad_tf import config as configuration
from ganad_tf.clips import Listing
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.features import Normalizer
from ganad_tf.models import DenseAE
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring import model_directory
from ganad_tf.scoring.densities import Density
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory, TrainedDetector

CONFIG = configuration.from_mapping(
    {"feature": {"n_mels": 4, "frames": 3}, "model": {"hidden": [5], "latent": 2}}, source="test"
)
WINDOWS = np.random.default_rng(0).normal(size=[7, 12]).astype(np.float32)
NORMALIZER = {"mean": [-40.0, -41.0, -42.0, -43.0], "std": [5.0, 6.0, 7.0, 8.0]}


def untrained(seed=1, normalizer=None):
    keras.utils.set_random_seed(seed)
    detector = DenseAE(input_dim=12, hidden=[5], latent=2)
    record = model_directory.make_record(CONFIG, cache="0123", normalizer=normalizer, history={"loss": [0.5]})
    return TrainedDetector(detector, normalizer and Normalizer(**normalizer), 3, 4, record)


@pytest.fixture
def saved(tmp_path):
    """A model directory and the detector that was saved to it."""
    trained = untrained(normalizer=NORMALIZER)
    directory = ModelDirectory(tmp_path / "model" / "dev" / "fan")
    directory.save(trained)
    return directory, trained


def test_a_detector_is_loaded_as_it_was_saved(saved):
    directory, trained = saved
    loaded = directory.load()
    np.testing.assert_array_equal(loaded.detector.anomaly_score(WINDOWS), trained.detector.anomaly_score(WINDOWS))
    spectra = np.full([2, 4], -35, np.float32)
    np.testing.assert_array_equal(loaded.normalizer(spectra), trained.normalizer(spectra))
    assert (loaded.frames, loaded.n_mels) == (3, 4)
    assert loaded.record == directory.record() == trained.record
    assert loaded.record["versions"]["keras"] == keras.__version__
    assert [path.name for path in directory.path.parent.iterdir()] == ["fan"]


def test_a_run_s_directory_is_that_of_its_mode_or_of_the_one_that_was_trained_on(tmp_path):
    config = dataclasses.replace(CONFIG, model_directory=str(tmp_path))
    run = MachineRun(config, Listing("fan", tmp_path, ()), "eval")
    assert ModelDirectory.of(run).path == tmp_path / "eval" / "fan"
    directory = ModelDirectory.of(run, "dev")
    assert directory.path == tmp_path / "dev" / "fan"
    assert not directory.exists()
    assert directory.unfinished == tmp_path / "dev" / "fan.unfinished.npz"
    assert directory.last_good == tmp_path / "dev" / "fan.last_good.keras"


def test_no_detector_and_a_damaged_one_are_sentences(saved, tmp_path):
    directory, _ = saved
    with pytest.raises(DataError, match=r"Expected a trained detector in .*pump, but there is none; run `ganad train`"):
        ModelDirectory(tmp_path / "pump").load()
    record = directory.path / "training.json"
    detector = directory.path / "detector.keras"
    good = {path: path.read_bytes() for path in (record, detector)}
    middle = len(good[detector]) // 2
    flipped = good[detector][:middle] + bytes([good[detector][middle] ^ 1]) + good[detector][middle + 1 :]
    spoilt = [(detector, good[detector][:1000]), (detector, flipped), (detector, b"")]
    spoilt += [(record, good[record][:-30]), (record, b"[]"), (record, b'{"config": {}}')]
    for path, content in spoilt:
        path.write_bytes(content)
        sentence = r"^The trained detector in .*fan can't be read \(.*\); remove the folder and run `ganad train`\.$"
        with pytest.raises(DataError, match=sentence):
            directory.load()
        if path == record:
            with pytest.raises(DataError, match=sentence):
                directory.record()
        path.write_bytes(good[path])
    directory.load()


def test_another_training_takes_the_place_of_the_first_and_has_another_identity(saved, tmp_path):
    directory, trained = saved
    before = directory.identity()
    shutil.copytree(directory.path, tmp_path / "copy", copy_function=shutil.copy)
    assert ModelDirectory(tmp_path / "copy").identity() == before
    (directory.path / "paper").mkdir()  # a scorer of the first one
    directory.save(untrained(seed=2))
    assert directory.identity() != before
    assert sorted(path.name for path in directory.path.iterdir()) == ["detector.keras", "training.json"]
    scores = directory.load().detector.anomaly_score(WINDOWS)
    assert not np.array_equal(scores, trained.detector.anomaly_score(WINDOWS))


def test_other_settings_are_refused_by_name_and_what_changes_no_weight_is_not(saved):
    directory, _ = saved
    directory.check_settings(CONFIG)
    fit = dataclasses.replace(CONFIG.fit, verbose=0, memory_budget_mb=1)
    directory.check_settings(dataclasses.replace(CONFIG, fit=fit, result_directory="elsewhere"))
    with pytest.raises(ConfigError, match=r"The detector in .*fan was made with `seed: 0`, .* `seed: 3`; set another"):
        directory.check_settings(dataclasses.replace(CONFIG, seed=3))


SCORES = (ClipScore("a.wav", 0.1), ClipScore("b, größe.wav", 1e-7))
ARRAYS = {"mean": np.arange(3, dtype=np.float32), "count": np.float32(2)}


@pytest.mark.parametrize(
    "fitted",
    [
        FittedScorer(Scorer(), None, SCORES),
        FittedScorer(Scorer(name="density", density="knn"), Density("knn", ARRAYS), SCORES),
    ],
    ids=["paper", "density"],
)
def test_a_scorer_is_loaded_as_it_was_saved(saved, fitted):
    directory, _ = saved
    with pytest.raises(DataError, match=r"Expected the scorer .* but there is none; run `ganad train`"):
        directory.load_scorer(fitted.settings)
    directory.save_scorer(fitted)
    loaded = directory.load_scorer(fitted.settings)
    assert (loaded.settings, loaded.train_scores) == (fitted.settings, fitted.train_scores)
    if fitted.density:
        assert loaded.density.kind == "knn"
        assert loaded.density.arrays.keys() == ARRAYS.keys()
        for name, values in ARRAYS.items():
            np.testing.assert_array_equal(loaded.density.arrays[name], values)


def test_scorers_of_other_settings_have_other_folders_and_a_damaged_one_is_named(saved):
    directory, _ = saved
    first, second = (Scorer(name="density", density="knn", neighbors=number) for number in (1, 2))
    directory.save_scorer(FittedScorer(first, Density("knn", ARRAYS), SCORES))
    assert directory.scorer_path(first) != directory.scorer_path(second)
    with pytest.raises(DataError, match="there is none"):
        directory.require_scorer(second)
    folder = directory.require_scorer(first)
    assert json.loads((folder / "scorer.json").read_text()) == first.relevant_settings()
    path = folder / "density.npz"
    good = path.read_bytes()
    middle = good.index(b"\x00\x00\x80\x3f")  # 1.0
    for content in (good[:-40], good[:middle] + b"\1" + good[middle + 1 :], b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"The trained detector in .*knn-.* can't be read"):
            directory.load_scorer(first)
