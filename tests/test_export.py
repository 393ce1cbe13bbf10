"""An exported model scores as the detector that was trained, wherever it is loaded."""

import functools
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from conftest import SAMPLE_RATE, tone, write_wav
from google.protobuf import text_format
from small_detectors import CONVOLUTIONAL, UNLABELLED, arguments
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import main
from ganad_tf.clips import Listing
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError, ExportError, InputError
from ganad_tf.exporting import current, examples, litert, onnx, verify
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.exporting.trained_system import TrainedSystem, gather
from ganad_tf.features import Normalizer, log_mel_layer
from ganad_tf.models import DETECTORS
from ganad_tf.results import ensemble
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun, machine_runs
from ganad_tf.scoring import clip_values, densities
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.versions import METADATA
from ganad_tf.serving.predict import local

SMALL = {"n_mels": 16, "frames": 3, "n_fft": 256, "hop_length": 128}
DENSITY = {"name": "density", "pooling": "lulls", "whiten": True, "density": "knn", "neighbors": 2}
SCORERS = {
    "paper": Scorer(),
    "mahalanobis": Scorer(name="density"),
    "gmm": Scorer(name="density", pooling="max", density="gmm"),
    "knn": Scorer(**DENSITY),
    "gwrp": Scorer(name="density", pooling="gwrp"),
    "embedding": Scorer(name="density", of="embedding", density="cosine_knn", neighbors=2),
}
# What a 16-bit file can hold.
CLIPS = [
    np.round(tone(seconds, hz=hz, seed=seed) * 32768).astype(np.float32) / 32768
    for seed, (seconds, hz) in enumerate([(1, 440), (0.7, 900), (1, 2000)])
]
# The pooling is the same for all detectors, and one of them stands for the others; IDNN parts its windows.
QUICK = (
    ("DenseAE", "paper"),
    ("GANomaly", "knn"),
    ("GANomaly", "gmm"),
    ("EGBAD", "embedding"),
    ("IDNN", "gwrp"),
    ("SpectrumDensity", "knn"),
)
COMBINATIONS = [
    pytest.param(
        name,
        scorer,
        marks=() if (name, scorer) in QUICK else pytest.mark.slow,
        id=f"{name}-{scorer}",
    )
    for name in UNLABELLED
    for scorer in SCORERS
    if scorer != "embedding" or hasattr(DETECTORS[name], "encode")
    # Every detector's own score; what scores residuals and embeddings is the same for those that are alike.
    if scorer == "paper"
    or (scorer in ("embedding", "knn") and name not in ("IDNN", "SAGAN", "SkipGANomaly"))
    or name in ("DenseAE", "GANomaly")
    or (name, scorer) in QUICK
]


SCORERS["local"] = Scorer(**DENSITY, local_density=2, smote=2)
COMBINATIONS.append(pytest.param("SpectrumDensity", "local", id="SpectrumDensity-local"))


def config_of(**sections: object) -> configuration.Config:
    return configuration.from_mapping({"feature": SMALL, **sections}, source="test")


@functools.cache
def make_member(name: str, settings: Scorer) -> Member:
    """An untrained detector with a scorer fitted to tones; nobody changes it."""
    tf.keras.utils.set_random_seed(1)
    detector = DETECTORS[name](input_dim=48, **arguments(name, [12, 8], frames=3))
    normalizer = Normalizer(np.linspace(-40, -30, 16), np.linspace(5, 9, 16))
    model = TrainedDetector(detector, normalizer, 3, 16, {})
    features = log_mel_layer(config_of().audio, config_of().feature)
    log_mels = [features(tone(seed=seed)[np.newaxis])[0] for seed in range(8)]
    fitted = FittedScorer(settings, None, ())
    if settings.name == "density":
        residuals = clip_values.clip_function(model, [clip_values.vector_function(model, settings)])
        vectors = np.stack([residuals(log_mel)[0] for log_mel in log_mels])
        fitted = FittedScorer(settings, densities.fit(vectors, settings, 0), ())
    score = clip_values.clip_function(model, [clip_values.scorer_function(model, fitted)])
    training = tuple(ClipScore(f"{n}.wav", float(score(log_mel)[0])) for n, log_mel in enumerate(log_mels))
    return Member(model, FittedScorer(settings, fitted.density, training))


def live(members: list[Member], how: str = "mean", shares: list[float] | None = None) -> Callable[[np.ndarray], float]:
    """The score of a waveform by the way that `ganad score` takes."""
    log_mel_of_batch = log_mel_layer(config_of().audio, config_of().feature)
    functions = [clip_values.clip_function(m.model, [clip_values.scorer_function(m.model, m.fitted)]) for m in members]
    training = np.array([[score.score for score in member.fitted.train_scores] for member in members])

    def score(waveform: np.ndarray) -> float:
        log_mel = log_mel_of_batch(waveform[np.newaxis])[0]
        scores = np.array([[float(function(log_mel)[0])] for function in functions])
        return float(scores[0, 0] if len(members) == 1 else ensemble.combine(scores, training, how, shares=shares)[0])

    return score


@pytest.mark.parametrize(("name", "scorer"), COMBINATIONS)
def test_the_graph_scores_as_the_live_detector(name, scorer):
    member = make_member(name, SCORERS[scorer])
    expected = [*map(live([member]), CLIPS)]
    functions = SoundScorer(config_of(), [member], threshold=float(np.median(expected))).functions
    files = [wav.encode(clip, SAMPLE_RATE) for clip in CLIPS]
    outputs = functions["score_wav"](tf.constant(files))
    np.testing.assert_allclose(outputs["anomaly_score"], expected, rtol=1e-4)
    for clip, score in zip(CLIPS, expected, strict=True):
        outputs = functions["score_waveform"](tf.constant(clip[np.newaxis]))
        np.testing.assert_allclose(outputs["anomaly_score"], [score], rtol=1e-4)
    assert outputs["threshold"].numpy() == pytest.approx([np.median(expected)])


@pytest.mark.parametrize(
    ("how", "weights"),
    [
        *(pytest.param(how, None, marks=pytest.mark.slow) for how in ("mean", "max", "rank", "harmonic_p_value")),
        pytest.param("mean", [3.0, 1.0], marks=pytest.mark.slow),
        ("rank", [1.0, 3.0]),
    ],
)
def test_the_graph_of_an_ensemble_combines_as_score_files_are_combined(how, weights):
    members = [make_member("DenseAE", SCORERS["knn"]), make_member("SpectrumDensity", SCORERS["mahalanobis"])]
    config = config_of(ensemble={"members": ["a", "b"], "combine": how, "weights": weights})
    function = SoundScorer(config, members, threshold=0.0).functions["score_waveform"]
    score_live = live(members, how, config.ensemble.shares())
    for clip in [*CLIPS, tone(seed=3)]:  # the last is a training clip
        expected = score_live(clip)
        score = float(function(tf.constant(clip[np.newaxis]))["anomaly_score"].numpy()[0])
        assert score == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_explain_shows_what_the_detector_saw():
    member = make_member("DenseAE", SCORERS["mahalanobis"])
    function = SoundScorer(config_of(), [member], threshold=0.0).functions["explain"]
    seen = {name: value.numpy()[0] for name, value in function(tf.constant(CLIPS[0][np.newaxis])).items()}
    log_mel = log_mel_layer(config_of().audio, config_of().feature)(CLIPS[0][np.newaxis])[0].numpy()
    np.testing.assert_allclose(seen["log_mel"], log_mel, atol=1e-4)
    assert seen["anomaly_score"] == pytest.approx(live([member])(CLIPS[0]), rel=1e-4)
    model = member.model
    windows = np.stack([model.normalizer(log_mel)[i : i + 3].numpy().ravel() for i in range(len(log_mel) - 2)])
    np.testing.assert_allclose(seen["window_scores"], model.detector.anomaly_score(windows), rtol=1e-4)
    middle = model.detector(windows, training=False).numpy()[:, 16:32]
    in_db = middle * model.normalizer.deviation + np.array(model.normalizer.mean)
    np.testing.assert_allclose(seen["reconstruction"][1:-1], in_db, rtol=1e-4)
    assert seen["reconstruction"].shape == log_mel.shape
    spectra = windows.reshape(-1, 3, 16)
    residual = model.detector(windows, training=False).numpy().reshape(-1, 3, 16) - spectra
    in_db = residual.mean(axis=(0, 1)) * model.normalizer.deviation
    np.testing.assert_allclose(seen["band_residual"], in_db, rtol=1e-3, atol=1e-3)


def waveforms(project: Path) -> tuple[list[str], np.ndarray]:
    """The test clips of one machine ID and their samples."""
    paths = sorted((project / "dev/fan/test").glob("*id_00*.wav"))
    return [path.name for path in paths], np.stack([tf.audio.decode_wav(path.read_bytes())[0][:, 0] for path in paths])


@pytest.mark.parametrize("system", ["gan", "both"])
def test_an_exported_model_gives_the_scores_and_decisions_of_the_result_files(exported_project, system):
    names, clips = waveforms(exported_project)
    outputs = Artifact(exported_project / f"exported_models/{system}_fan")("serving_default", {"waveform": clips})
    results = exported_project / "result" / system
    expected = dict(line.split(",") for line in (results / "anomaly_score_fan_id_00.csv").read_text().splitlines())
    decisions = dict(line.split(",") for line in (results / "decision_result_fan_id_00.csv").read_text().splitlines())
    np.testing.assert_allclose(
        outputs["anomaly_score"], [float(expected[name]) for name in names], rtol=1e-4, atol=1e-4
    )
    assert outputs["is_anomaly"].tolist() == [decisions[name] == "1" for name in names]


def test_an_exported_model_says_what_it_is(exported_project):
    notes = Artifact(exported_project / "exported_models/gan_fan").metadata
    manifest = json.loads((exported_project / "model/gan/dev/fan/training.json").read_text())
    assert notes["members"][0]["training_data"] == manifest["cache"]
    assert notes["config"]["audio"]["sample_rate"] == SAMPLE_RATE
    assert notes["threshold"]["method"] == "gamma"
    assert notes["versions"]["tensorflow"] == tf.__version__
    assert notes["results"]["auc"] > 0.9
    assert notes["largest_difference_from_live"] <= 1e-4
    assert (notes["machine"], notes["version"], notes["seeds"]) == ("fan", 1, [0])


@pytest.mark.slow
def test_predict_explains_anomalies(exported_project, ganad, tmp_path):
    """A detector of 440 Hz hears 2 kHz instead; an ensemble is explained by its first member's recordings."""
    write_wav(tmp_path / "good.wav", tone(seed=1000))
    write_wav(tmp_path / "bad.wav", tone(hz=2000, seed=2000))
    files, models = ["good.wav", "bad.wav", "--explain"], exported_project / "exported_models"
    good, bad = json.loads(ganad("predict", models / "gan_fan", *files, "--json", cwd=tmp_path).stdout)
    assert (good["findings"], good["explanation"]) == ([], "")
    (whine,) = [finding for finding in bad["findings"] if finding["kind"] == "tone"]
    assert whine["frequency_hz"] == pytest.approx(2000, rel=0.003)
    assert whine["sentence"] in bad["explanation"]
    lines = ganad("predict", models / "both_fan", *files, cwd=tmp_path).stdout.splitlines()
    assert [line.startswith("    ") for line in lines] == [False, False, False, True]
    assert "a tone at 2000 Hz" in lines[3]


def test_a_model_without_the_healthy_sound_predicts_but_does_not_explain(exported_project, tmp_path):
    shutil.copytree(exported_project / "exported_models/gan_fan/1", tmp_path / "1")
    clip, kept = write_wav(tmp_path / "bad.wav", tone(hz=2000)), tmp_path / "1/assets.extra/healthy.json"
    kept.write_text("{}")
    with pytest.raises(DataError, match="healthy.json can't be read"):
        list(local.predict(tmp_path / "1", [clip], explain=True))
    kept.unlink()
    with pytest.raises(DataError, match="run `ganad train` and `ganad export` again"):
        list(local.predict(tmp_path / "1", [clip], explain=True))
    (prediction,) = local.predict(tmp_path / "1", [clip])
    assert prediction.is_anomaly


@pytest.mark.slow
def test_versions_count_up(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    folder = exported_project / "exported_models" / "gan_fan"
    before = {path: path.stat().st_mtime_ns for path in (folder / "1").rglob("*")}
    assert main.main(["export", "spectrum.yaml", "--name", "gan_fan", "-q"]) == 0  # sooner exported than a network
    assert capsys.readouterr().out.strip() == "exported_models/gan_fan/2"
    assert {path: path.stat().st_mtime_ns for path in (folder / "1").rglob("*")} == before
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]
    shutil.rmtree(folder / "2")


def test_a_detector_with_other_weights_is_not_the_exported_one(exported_project, tmp_path, monkeypatch):
    shutil.copytree(exported_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    config = configuration.load("gan.yaml")
    (run,) = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
    assert current.is_exported(run, "gan_fan")
    notes = tmp_path / "exported_models/gan_fan/1" / METADATA
    text = notes.read_text()
    notes.write_text("[]")
    assert not current.is_exported(run, "gan_fan")
    notes.write_text(text)
    path = tmp_path / "model/gan/dev/fan/detector.keras"
    detector = keras.saving.load_model(path, compile=False)
    weight = detector.trainable_variables[0]
    weight.assign(weight + 1e-6)
    detector.save(path)
    assert not current.is_exported(run, "gan_fan")


def test_a_refused_export_leaves_nothing(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    for change in ("model.latent=4", "feature.n_mels=20"):
        assert main.main(["export", "gan.yaml", "--set", change]) == 2
        assert change.split("=")[0] in capsys.readouterr().err
    assert [path.name for path in (exported_project / "exported_models" / "gan_fan").iterdir()] == ["1"]


def test_export_says_at_once_that_it_cannot_write(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    (exported_project / "taken").write_text("a file where the folder should be")
    assert main.main(["export", "gan.yaml", "--set", "export_directory=./taken"]) == 2
    assert capsys.readouterr().err.startswith("ganad: Can't write taken/gan_fan/1")


def test_an_ensemble_of_scores_that_have_changed_is_refused(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    path = exported_project / "result/spectrum/train_score_dev_fan.csv"
    kept = path.read_text()
    path.write_text(kept.replace(",", ",1", 1))
    assert main.main(["export", "both.yaml"]) == 2
    path.write_text(kept)
    assert "are not those of the detector" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_that_scores_otherwise_is_not_kept(exported_project, tmp_path, monkeypatch):
    monkeypatch.chdir(exported_project)
    config = configuration.load("gan.yaml").for_machine("fan")
    gathered = gather(MachineRun(config, datasets.list_clips(config, "dev", ["fan"])[0], "dev"))
    real = examples.from_waveforms(gathered, [tone(seed=seed) for seed in range(8)])
    assert [example.waveforms.shape[1] for example in real] == [5333, 10666, 16000]
    wrong = examples.Example(real[0].waveforms, real[0].log_mels, real[0].scores * 1.001)
    with pytest.raises(ExportError, match="does not score like the live detector"):
        verify.verify(exported_project / "exported_models/gan_fan/1", gathered, [wrong], tmp_path)


def test_a_score_of_zero_and_a_score_that_is_no_number_are_compared_as_they_should_be():
    run = MachineRun(config_of(), Listing("fan", Path(), ()), "dev")
    gathered = TrainedSystem(run, (), np.ones([1, 3]), threshold=2.0, calibration=np.empty([1, 0]))
    example = examples.Example(None, np.zeros([2, 9, 16]), np.array([0.0, 1.0]))
    same = np.array([[0.0, 1.0], [False, False]])
    assert verify._difference(gathered, example, "0.log_mel", same) == 0
    for scores in ([0.1, 1.0], [0.0, np.nan]):
        with pytest.raises(ExportError, match="does not score like the live detector"):
            verify._difference(gathered, example, "0.log_mel", np.array([scores, [False, False]]))


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(exported_project, tmp_path):
    _, clips = waveforms(exported_project)
    np.save(tmp_path / "clips.npy", clips)
    place = [
        "--dir",
        exported_project / "exported_models/gan_fan/1",
        "--tag_set",
        "serve",
        "--signature_def",
        "score_waveform",
    ]
    tool = [Path(sys.executable).parent / "saved_model_cli"]
    shown = subprocess.run([*tool, "show", *place], capture_output=True, text=True, check=True).stdout
    assert "inputs['waveform']" in shown
    assert "outputs['anomaly_score']" in shown
    given = ["--inputs", f"waveform={tmp_path / 'clips.npy'}", "--outdir", tmp_path]
    subprocess.run([*tool, "run", *place, *given], capture_output=True, check=True)
    expected = Artifact(exported_project / "exported_models/gan_fan/1")("score_waveform", {"waveform": clips})
    np.testing.assert_allclose(np.load(tmp_path / "anomaly_score.npy"), expected["anomaly_score"], rtol=1e-5)


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler")
@pytest.mark.slow
def test_tensorflows_c_api_loads_and_runs_it(exported_project, tmp_path):
    """The loader that TensorFlow Serving uses, without Python."""
    folder = Path(tf.sysconfig.get_lib())
    libraries = [next(folder.glob(f"{name}.so.*")) for name in ("libtensorflow_cc", "libtensorflow_framework")]
    program = tmp_path / "score"
    source = Path(__file__).parent / "score.c"
    paths = [f"-I{tf.sysconfig.get_include()}", f"-Wl,-rpath,{folder}"]
    subprocess.run(["gcc", "-o", program, source, *paths, *libraries], check=True)
    model = exported_project / "exported_models/gan_fan/1"
    parsed = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    signature = parsed.meta_graphs[0].signature_def["score_waveform"]
    names = [signature.inputs["waveform"].name, signature.outputs["anomaly_score"].name]
    _, clips = waveforms(exported_project)
    clips[:1].tofile(tmp_path / "clip.f32")
    command = [program, model, tmp_path / "clip.f32", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    expected = Artifact(model)("score_waveform", {"waveform": clips[:1]})["anomaly_score"][0]
    assert float(done.stdout) == pytest.approx(expected, rel=1e-5)


def test_tensorflow_serving_reads_the_configuration_beside_the_models(exported_project):
    text = (exported_project / "exported_models/models.config").read_text()
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert {model.name: model.base_path for model in parsed.model_config_list.config} == {
        "both_fan": "/models/both_fan",
        "gan_fan": "/models/gan_fan",
    }


@pytest.mark.parametrize(
    ("system", "form"),
    [
        pytest.param("gan", "litert", marks=pytest.mark.slow),
        pytest.param("gan", "onnx", marks=pytest.mark.slow),
        ("both", "litert"),
        pytest.param("both", "onnx", marks=pytest.mark.slow),
    ],
)
def test_small_boards_get_the_same_scores(exported_project, monkeypatch, capsys, system, form):
    monkeypatch.chdir(exported_project)
    assert main.main(["export", f"{system}.yaml", "--format", form, "--batch", "2", "--seconds", "0.75"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    notes = json.loads((folder / "ganad.json").read_text())
    assert (notes["batch"], notes["samples"], notes["auc_exported"]) == (2, 12000, notes["auc_live"])
    run = {"litert": litert, "onnx": onnx}[form]
    outputs = run.load(folder / run.FILE)(waveforms(exported_project)[1][:2, :12000])
    exported = Artifact(exported_project / f"exported_models/{system}_fan")
    expected = exported("score_waveform", {"waveform": waveforms(exported_project)[1][:2, :12000]})
    np.testing.assert_allclose(outputs["anomaly_score"], expected["anomaly_score"], rtol=1e-3, atol=1e-3)
    assert outputs["is_anomaly"].tolist() == expected["is_anomaly"].tolist()
    assert outputs["threshold"] == pytest.approx(expected["threshold"])


@pytest.mark.slow
@pytest.mark.parametrize("form", [litert, onnx])
@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutions_run_on_small_boards(name, form, tmp_path):
    member = make_member(name, SCORERS["paper"])
    graph = SoundScorer(config_of(), [member], threshold=0.0, precision="float32")
    clip = CLIPS[1][np.newaxis]
    form.convert(graph.fixed_size_function(1, clip.shape[1]), tmp_path / form.FILE)
    outputs = form.load(tmp_path / form.FILE)(clip)
    np.testing.assert_allclose(outputs["anomaly_score"], [live([member])(clip[0])], rtol=1e-3)


def test_in_8_bits_only_the_network_loses_digits(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    assert main.main(["export", "gan.yaml", "--format", "litert-int8"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    notes = json.loads((folder / "ganad.json").read_text())
    assert notes["auc_exported"] == pytest.approx(notes["auc_live"], abs=0.05)
    kinds = {detail["name"]: detail["dtype"] for detail in Interpreter(str(folder / litert.FILE)).get_tensor_details()}
    in_8_bits = [name for name, kind in kinds.items() if kind == np.int8]
    assert any("dense" in name for name in in_8_bits)
    assert not any("log_mel" in name for name in in_8_bits)


def test_in_8_bits_a_system_without_dense_layers_is_one_sentence(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    assert main.main(["export", "spectrum.yaml", "--format", "litert-int8"]) == 2
    assert "Expected a network with dense layers for --format litert-int8" in capsys.readouterr().err
    assert not (exported_project / "exported_models" / "spectrum_fan.litert-int8").exists()


def test_small_boards_ask_for_their_extra_and_for_clips_that_are_there(exported_project, monkeypatch, capsys):
    monkeypatch.chdir(exported_project)
    assert main.main(["export", "gan.yaml", "--format", "litert", "--seconds", "7"]) == 2
    assert "of at least 7 s; there are none" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.delitem(sys.modules, "ganad_tf.exporting.onnx")
    assert main.main(["export", "gan.yaml", "--format", "onnx"]) == 2
    assert "pip install 'ganad_tf[onnx]'" in capsys.readouterr().err


TOO_SHORT = np.zeros([1, 1000], np.float32)
NOT_A_NUMBER = np.stack([CLIPS[0], np.where(np.arange(16000) == 5, np.nan, 0)]).astype(np.float32)
REFUSED = {
    "too short": (
        "score_waveform",
        {"waveform": TOO_SHORT},
        "^waveform: expected at least 1024 samples, received 1000",
    ),
    "NaN": ("score_waveform", {"waveform": NOT_A_NUMBER}, "^waveform: .*NaN or infinity in clip 1"),
    "infinity": (
        "explain",
        {"waveform": np.full([1, 16000], np.inf, np.float32)},
        "^waveform: .*NaN or infinity in clip 0",
    ),
    "far too loud": ("score_waveform", {"waveform": np.full([1, 16000], 1e30, np.float32)}, "^waveform: .*1e\\+30"),
    "no clips": ("score_waveform", {"waveform": np.zeros([0, 16000], np.float32)}, "^waveform: .*at least one clip"),
    "no samples": ("score_waveform", {"waveform": np.zeros([2, 0], np.float32)}, "^waveform: .*none of them empty"),
    "rank": (
        "score_waveform",
        {"waveform": CLIPS[0]},
        r"^waveform: expected the shape \[\?, \?\]. Received: \[16000\]",
    ),
    "dtype": ("score_waveform", {"waveform": np.zeros([1, 16000])}, "^waveform: expected float32. Received: float64"),
    "name": ("score_waveform", {"sound": CLIPS[0]}, "^sound: not an input .* it takes waveform"),
    "signature": ("score", {}, "^signature_name: expected one of .*score_wav"),
    "bands": (
        "score_frames",
        {"log_mel": np.zeros([1, 9, 8], np.float32)},
        r"^log_mel: expected the shape \[\?, \?, 16\]",
    ),
    "frames": ("score_frames", {"log_mel": np.zeros([1, 2, 16], np.float32)}, "^log_mel: expected at least 3 spectra"),
    "decibels": (
        "score_frames",
        {"log_mel": np.full([1, 9, 16], 1e4, np.float32)},
        "^log_mel: expected decibels, received",
    ),
    "whole numbers": (
        "score_waveform",
        {"waveform": CLIPS[0][np.newaxis] * 32768},
        "^waveform: expected samples from -1",
    ),
}


@pytest.fixture(scope="module")
def artifact(exported_project) -> Artifact:
    return Artifact(exported_project / "exported_models/gan_fan")


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_in_one_sentence_that_names_the_field(artifact, case):
    signature, inputs, sentence = REFUSED[case]
    with pytest.raises(InputError, match=sentence) as caught:
        artifact(signature, inputs)
    assert "\n" not in str(caught.value)


def files() -> dict[str, tuple[bytes, str]]:
    """WAV files that are none, or not as they should be, with what is said of them."""

    def written(samples: np.ndarray = CLIPS[0], rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> bytes:
        stream = io.BytesIO()
        soundfile.write(stream, samples, rate, format="WAV", subtype=subtype)
        return stream.getvalue()

    def with_field(place: int, value: bytes) -> bytes:
        good = written()
        return good[:place] + value + good[place + len(value) :]

    return {
        "24 bits": (written(subtype="PCM_24"), "16-bit"),
        "float": (written(subtype="FLOAT"), "PCM"),
        "cut off": (written()[:20000], "too short"),
        "cut off in its header": (written()[:30], "too short"),
        "empty": (b"", "too short"),
        "a text": (b"dear sirs, please find attached" * 9, "RIFF"),
        "no text": (b"\xff\xfb\x90\x64" * 99, "16-bit PCM WAV"),
        "rate": (written(rate=44100), "expected a sample rate of 16000 Hz, received 44100"),
        "short": (written(CLIPS[0][:100]), "expected at least .* samples, received 100"),
        "no samples": (written(CLIPS[0][:0]), "received 0"),
        "4 GB": (with_field(40, b"\xff\xff\xff\xff"), "too large"),
        "65535 channels": (with_field(22, b"\xff\xff"), "bytes per sample"),
        "rate 0": (with_field(24, bytes(4)), "bytes per second"),
    }


@pytest.mark.parametrize("case", files())
def test_a_wrong_file_is_refused_in_one_sentence(artifact, case):
    content, sentence = files()[case]
    good = wav.encode(CLIPS[0], SAMPLE_RATE)
    with pytest.raises(InputError, match=f"^wav_bytes: .*{sentence}") as caught:
        artifact("score_wav", {"wav_bytes": np.array([good, content], dtype=object)})
    assert "\n" not in str(caught.value)


def test_of_eight_channels_the_configured_one_is_scored(artifact):
    eight = np.stack([CLIPS[0], *[CLIPS[0] * 0] * 7], axis=1)
    both = np.array([wav.encode(CLIPS[0], SAMPLE_RATE), wav.encode(eight, SAMPLE_RATE)], dtype=object)
    one, other = artifact("score_wav", {"wav_bytes": both})["anomaly_score"]
    assert one == other
