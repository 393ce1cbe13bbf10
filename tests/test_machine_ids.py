"""Detectors that take machine IDs: in training, in scoring, and as an input of exported models."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import SAMPLE_RATE, tone, write_wav
from serving_process import ServingProcess

from ganad_tf import config as configuration
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import ConfigError, DataError, InputError
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.features import Normalizer, log_mel_layer
from ganad_tf.models import EmbeddingKNN, IDClassifier, SpectrumDensity, embedding_knn
from ganad_tf.models.adacos import SubClusterAdaCos
from ganad_tf.models.embedding_knn import image_network, mixed
from ganad_tf.results import ensemble
from ganad_tf.results.score_files import ClipScore
from ganad_tf.scoring import clip_values, compound_densities, densities
from ganad_tf.scoring.machine_ids import needs_machine_ids
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.training import build as building

IDS = ("00", "02")
SMALL = {"frames": 12, "machine_ids": IDS, "width": 2, "units": 4, "sub_clusters": 3}
FEATURE = {"n_mels": 16, "frames": 12, "window_hop": 4, "n_fft": 256, "hop_length": 128}
PER_MACHINE = Scorer(name="density", of="embedding", density="cosine_knn", neighbors=2)


def embedder(seed: int = 0, **arguments: object) -> EmbeddingKNN:
    keras.utils.set_random_seed(seed)
    return EmbeddingKNN(12 * 16, **SMALL | arguments)


def windows_of_two_machines(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, louder in half of the bands for machine 1, `[count, 192]`, and the machines' numbers."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 2, count)
    image = rng.normal(size=[count, 12, 16])
    image[numbers == 1, ::2, :8] += 2
    return image.reshape(count, -1).astype(np.float32), numbers.astype(np.int32)


def test_the_image_network_has_the_published_size():
    network = image_network(311, 513, width=16, units=128)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == 967_090


@pytest.mark.parametrize("size", [(13, 18), (12, 11)])
def test_maxima_are_those_of_keras_layer(size):
    values = np.random.default_rng(0).normal(size=[2, *size, 3]).astype(np.float32)
    for length, padding in ((3, "valid"), (2, "same")):
        expected = keras.layers.MaxPooling2D(length, 2, padding=padding)(values)
        np.testing.assert_array_equal(embedding_knn.maximum(tf.constant(values), length), expected)


def test_log_odds_and_negative_log_by_hand():
    windows = np.random.default_rng(0).normal(size=[3, 32 * 32]).astype(np.float32)
    keras.utils.set_random_seed(0)
    detector = IDClassifier(32 * 32, 32, ["a", "b", "c"])
    logits = np.asarray(detector(windows), np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(detector.anomaly_score(windows), np.log((1 - p) / p), rtol=1e-4, atol=1e-5)
    one = np.concatenate([detector.anomaly_score(window[np.newaxis]) for window in windows])
    np.testing.assert_allclose(detector.anomaly_score(windows), one, rtol=1e-4, atol=1e-5)  # alone as in the batch
    other = IDClassifier.from_config(detector.get_config() | {"score": "negative_log"})
    other.set_weights(detector.get_weights())
    np.testing.assert_allclose(other.anomaly_score(windows), -np.log(p), rtol=1e-4)
    kernel, bias = detector.classifier.get_weights()
    detector.classifier.set_weights([kernel[:, [2, 0, 1]], bias[[2, 0, 1]]])
    np.testing.assert_allclose(  # other names for the same machines
        detector.anomaly_score(windows), np.log((1 - p) / p)[:, [2, 0, 1]], rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_the_classifier_learns_and_a_wrong_id_scores_higher():
    windows, numbers = windows_of_two_machines(256)
    windows = np.repeat(np.repeat(windows.reshape(-1, 12, 16), 3, axis=1), 2, axis=2).reshape(256, -1)
    keras.utils.set_random_seed(0)
    detector = IDClassifier(36 * 32, 36, IDS, mixup=False)
    detector.compile(keras.optimizers.Adam(3e-3))
    history = detector.fit(windows, numbers, batch_size=32, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    scores = detector.anomaly_score(windows).numpy()
    right, wrong = scores[np.arange(256), numbers], scores[np.arange(256), 1 - numbers]
    assert np.mean(right < wrong) > 0.8


def test_class_probabilities_and_scale_by_hand():
    layer = SubClusterAdaCos(3, 2)
    embeddings = np.random.default_rng(0).normal(size=[5, 4]).astype(np.float32)
    layer.build(embeddings.shape)
    assert float(layer.s) == pytest.approx(np.sqrt(2) * np.log(3 * 2 - 1))
    centres, s = np.asarray(layer.centres, np.float64), float(layer.s)
    cosines = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)) @ (
        centres / np.linalg.norm(centres, axis=1, keepdims=True)
    ).T
    exponentials = np.exp(s * cosines)
    p = exponentials.reshape(5, 3, 2).sum(axis=2) / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer(embeddings), np.log(p), rtol=1e-4)
    classes = np.array([0, 2, 1, 1, 0])
    layer.update_scale(embeddings, classes)
    angles = np.arccos(cosines.reshape(5, 3, 2)[np.arange(5), classes]).sum(axis=1)
    expected = np.log(exponentials.sum(axis=1).mean()) / np.cos(min(np.pi / 4, np.median(angles)))
    assert float(layer.s) == pytest.approx(expected, rel=1e-5)
    fixed = SubClusterAdaCos(3, 2, "fixed")
    fixed.build(embeddings.shape)
    fixed.update_scale(embeddings, classes)
    assert float(fixed.s) == pytest.approx(s)


def test_mixed_labels_are_the_larger_of_both_shares():
    windows, labels = mixed(
        tf.constant([[1.0], [3.0]]), tf.constant([[1.0, 0.0], [1.0, 0.0]]), tf.constant([[0.25], [0.9]])
    )
    np.testing.assert_allclose(windows, [[0.25 + 0.75 * 3], [0.9 * 3 + 0.1]], rtol=1e-6)
    np.testing.assert_allclose(labels, [[0.75, 0], [0.9, 0]], rtol=1e-6)  # and not 1


@pytest.mark.slow
def test_centres_stay_where_they_are_and_the_rest_learns():
    windows, numbers = windows_of_two_machines(256)
    detector = embedder(pseudo_classes=False)  # reversed noise is noise
    detector.compile(keras.optimizers.Adam(1e-2))
    before = np.array(detector.classifier.centres)
    history = detector.fit(windows, numbers, batch_size=32, epochs=12, verbose=0, validation_data=(windows, numbers))
    np.testing.assert_array_equal(detector.classifier.centres, before)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert history.history["val_accuracy"][-1] > 0.8
    scores = detector.anomaly_score(windows).numpy()
    assert np.mean(scores[np.arange(256), numbers] < scores[np.arange(256), 1 - numbers]) > 0.8


COMPILED = """
import keras, numpy as np, tensorflow as tf
from ganad_tf import runtime
from ganad_tf.models import EmbeddingKNN
from ganad_tf.training.fused_steps import FusedSteps

runtime.deterministic()
rng = np.random.default_rng(0)
windows, numbers = rng.normal(size=[64, 192]).astype("float32"), rng.integers(0, 2, 64).astype("int32")
batches = tf.data.Dataset.from_tensor_slices((windows, numbers)).batch(32)
for _ in range(2):
    keras.utils.set_random_seed(1)
    detector = EmbeddingKNN(192, 12, ["00", "02"], width=2, units=4, sub_clusters=3)
    detector.compile("adam")
    with detector.training_by(FusedSteps(8, 4).train_function):
        detector.fit(batches, epochs=2, verbose=0, shuffle=False)
    print(detector.anomaly_score(windows).numpy().tobytes().hex())
"""


@pytest.mark.slow
def test_many_steps_are_compiled_and_the_same_every_time():
    """As of a long training with deterministic operations: XLA has no such gradient of Keras' pooling."""
    done = subprocess.run([sys.executable, "-c", COMPILED], check=True, capture_output=True, text=True)
    first, second = done.stdout.split()
    assert first == second


def test_a_steady_level_changes_the_spectrum_s_part_alone():
    detector, (windows, _) = embedder(), windows_of_two_machines(4)
    level = np.tile(np.random.default_rng(1).normal(size=16), 12).astype(np.float32)
    before, after = detector(windows).numpy(), detector(windows + level).numpy()
    np.testing.assert_allclose(after[:, :4], before[:, :4], rtol=1e-3, atol=1e-5)
    assert np.abs(after[:, 4:] - before[:, 4:]).max() > 1e-3


@pytest.mark.slow
def test_a_saved_detector_has_its_machines_scale_and_scores(tmp_path):
    detector, (windows, numbers) = embedder(), windows_of_two_machines(16)
    detector.compile("adam", run_eagerly=True)
    detector.fit(windows, numbers, batch_size=8, epochs=1, verbose=0)
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    loaded.run_eagerly = True
    assert tuple(loaded.machine_ids) == IDS
    np.testing.assert_array_equal(loaded.anomaly_score(windows), detector.anomaly_score(windows))
    detector.fit(windows, numbers, batch_size=8, epochs=1, verbose=0, shuffle=False)
    loaded.fit(windows, numbers, batch_size=8, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(loaded.anomaly_score(windows), detector.anomaly_score(windows))


@pytest.mark.parametrize("kind", [EmbeddingKNN, IDClassifier])
@pytest.mark.parametrize("machine_ids", [(), ("00",), ("00", "00")])
def test_fewer_than_two_machines_are_refused(kind, machine_ids):
    with pytest.raises(ValueError, match="two or more different machine_ids"):
        kind(machine_ids=machine_ids)


def test_windows_without_numbers_and_data_of_one_machine_are_refused():
    detector, (windows, _) = embedder(), windows_of_two_machines(4)
    detector.compile("adam")
    with pytest.raises(ValueError, match="numbers of the windows' machine IDs. Received: windows alone"):
        detector.fit(windows, verbose=0)
    config = configuration.from_mapping({"model": {"name": "EmbeddingKNN"}, "feature": {"frames": 20}}, source="test")
    with pytest.raises(DataError, match="at least two machine IDs for EmbeddingKNN.*Received: 00"):
        building.build(config, ["00"])
    assert building.build(config, ["00", "02"]).machine_ids == ("00", "02")
    with pytest.raises(ConfigError, match="Unknown key `model.machine_ids`"):
        building.build(
            configuration.from_mapping({"model": {"name": "EmbeddingKNN", "machine_ids": ["a", "b"]}}, source="test"),
            ["00", "02"],
        )


def test_each_machine_has_a_density_of_its_own_clips():
    rng = np.random.default_rng(0)
    vectors, machines = rng.normal(size=[20, 3]), ["00", "02"] * 10
    vectors[1::2, 0] += 50
    settings = Scorer(name="density", density="knn")
    density = compound_densities.fit_by_machine(vectors, machines, settings, 0)
    assert tuple(density.parts) == IDS
    expected = [densities.fit(vectors[start::2], settings, 0)(tf.constant(vectors, tf.float32)) for start in (0, 1)]
    np.testing.assert_array_equal(density(tf.constant(vectors, tf.float32)), np.stack(expected, axis=1))
    again = compound_densities.from_arrays("knn", density.arrays)
    np.testing.assert_array_equal(again(tf.constant(vectors, tf.float32)), np.stack(expected, axis=1))


@pytest.fixture(scope="module")
def members() -> list[Member]:
    """An untrained detector that takes machine IDs, by its score and by densities, and one that takes none, by both."""
    features = log_mel_layer(configuration.Config().audio, config().feature)
    log_mels = [features(tone(seed=seed)[np.newaxis])[0] for seed in range(8)]
    made = []
    for detector, scorer in (
        (embedder(), Scorer()),
        (embedder(), PER_MACHINE),
        (SpectrumDensity(12 * 16), Scorer(name="density")),
        (SpectrumDensity(12 * 16), Scorer(name="density", per_machine=True)),
    ):
        model = TrainedDetector(detector, Normalizer(np.linspace(-40, -30, 16), np.linspace(5, 9, 16)), 12, 16, {}, 4)
        fitted = FittedScorer(scorer, None, ())
        if scorer.name == "density":
            compute = clip_values.clip_function(model, [clip_values.vector_function(model, scorer)])
            vectors = np.stack([compute(log_mel)[0] for log_mel in log_mels])
            density = densities.fit(vectors, scorer, 0)
            if needs_machine_ids(detector, scorer):
                density = compound_densities.fit_by_machine(vectors, list(IDS) * 4, scorer, 0)
            fitted = FittedScorer(scorer, density, ())
        scores = live(Member(model, fitted), log_mels, list(IDS) * 4)
        named = tuple(ClipScore(f"{n}.wav", float(score)) for n, score in enumerate(scores))
        made.append(Member(model, FittedScorer(scorer, fitted.density, named)))
    return made


def config(**sections: object) -> configuration.Config:
    return configuration.from_mapping({"feature": FEATURE, **sections}, source="test")


def live(member: Member, log_mels: list[np.ndarray], machines: list[str]) -> list[float]:
    """Scores as `ganad score` computes them."""
    function = clip_values.scorer_function(member.model, member.fitted)
    compute = clip_values.clip_function(member.model, [function])
    values = [compute(log_mel)[0].numpy() for log_mel in log_mels]
    return [
        float(clip_values.of_machine(*pair)) for pair in zip(values, [function] * len(values), machines, strict=True)
    ]


def waveforms(count: int) -> np.ndarray:
    clips = [tone(hz=440 + 100 * seed, seed=seed) for seed in range(count)]
    return (np.round(np.stack(clips) * 32768) / 32768).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_graph_scores_each_clip_as_one_of_its_machine(members, number):
    member, clips = members[number], waveforms(3)
    features = log_mel_layer(configuration.Config().audio, config().feature)
    log_mels = [features(clip[np.newaxis])[0] for clip in clips]
    scorer = SoundScorer(config(), [member], 0.0, calibration=[ClipScore("", score) for score in (0.1, 0.2, 0.3)])
    assert scorer.machine_ids == IDS
    files = tf.constant([wav.encode(clip, SAMPLE_RATE) for clip in clips])
    for machines in (["00", "02", "00"], ["02", "02", "00"]):
        expected, ids = live(member, log_mels, machines), tf.constant(machines)
        calls = {"score_waveform": clips, "score_wav": files, "score_frames": np.stack(log_mels), "explain": clips}
        for name, clips_of_call in calls.items():
            scores = scorer.functions[name](clips_of_call, ids)["anomaly_score"]
            np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6, err_msg=name)
        decided = scorer.functions["decide_waveform"](clips, np.full(3, 0.5, np.float32), ids)
        np.testing.assert_allclose(decided["anomaly_score"], expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(live(member, log_mels, ["00"] * 3), live(member, log_mels, ["02"] * 3))


def test_unknown_machines_and_other_numbers_of_them_are_refused_in_the_graph(members):
    scorer, clips = SoundScorer(config(), [members[0]], 0.0), waveforms(2)
    for machines, sentence in {
        ("00", "07"): r"machine_id: expected one of 00, 02, received\] \[\"?\[?\"?07",
        ("00",): r"machine_id: expected one per clip,\] \[2\] \[received\] \[1",
    }.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=sentence):
            scorer.functions["score_waveform"](clips, tf.constant(machines))


def test_an_ensemble_asks_for_the_machine_if_a_member_needs_it(members):
    by_machine, without = members[1], members[2]
    combined = config(ensemble={"members": ["./a", "./b"], "combine": "mean"}, threshold={"method": "quantile"})
    scorer = SoundScorer(combined, [by_machine, without], 0.0)
    clips, machines = waveforms(3), ["00", "02", "00"]
    features = log_mel_layer(combined.audio, combined.feature)
    log_mels = [features(clip[np.newaxis])[0] for clip in clips]
    scores = np.array([live(member, log_mels, machines) for member in (by_machine, without)])
    training = np.array([[clip.score for clip in member.fitted.train_scores] for member in (by_machine, without)])
    found = scorer.functions["score_waveform"](clips, tf.constant(machines))["anomaly_score"]
    np.testing.assert_allclose(found, ensemble.combine(scores, training, "mean"), rtol=1e-4, atol=1e-5)


def write_two_machines(folder, n_train: int = 8, n_test: int = 4) -> None:
    """Machine 00 hums at 440 Hz, 02 at 1200 Hz; an anomaly of one sounds like the other."""
    hz = {"00": 440, "02": 1200}
    for machine_id, other in (("00", "02"), ("02", "00")):
        for number in range(n_train):
            name = f"normal_id_{machine_id}_{number:08d}.wav"
            write_wav(folder / "fan" / "train" / name, tone(1.0, hz=hz[machine_id], seed=number))
        for number in range(n_test):
            for label, machine in (("normal", machine_id), ("anomaly", other)):
                name = f"{label}_id_{machine_id}_{number:08d}.wav"
                write_wav(folder / "fan" / "test" / name, tone(1.0, hz=hz[machine], seed=100 + number))


SYSTEM = """
dev_directory: ./dev
model_directory: ./model
result_directory: ./result
feature: {n_mels: 16, frames: 12, window_hop: 2, standardize: true}
model: {name: EmbeddingKNN, width: 4, units: 8}
fit: {compile: {learning_rate: 0.01}, epochs: 6, batch_size: 32, verbose: 0, validation_split: 0}
scorer: {name: density, of: embedding, density: cosine_knn}
threshold: {method: conformal, false_alarms: 0.2, folds: 2}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, ganad):
    """Two machines, trained, scored and exported."""
    place = tmp_path_factory.mktemp("machines")
    write_two_machines(place / "dev")
    (place / "ids.yaml").write_text(SYSTEM)
    done = ganad("run", "ids.yaml", "--dev", cwd=place)
    ganad("export", "ids.yaml", "--name", "fan", cwd=place)
    return place, done


@pytest.mark.slow
def test_what_sounds_like_the_other_machine_is_an_anomaly(project):
    place, done = project
    rows = [line.split(",") for line in (place / "result" / "result.csv").read_text().splitlines()]
    aucs = [float(row[1]) for row in rows if re.fullmatch(r"(id_)?0[02]", row[0])]
    assert len(aucs) == 2, rows
    assert min(aucs) > 0.9, done.stdout
    notes = json.loads((place / "exported_models" / "fan" / "1" / "assets.extra" / "ganad.json").read_text())
    assert notes["input"]["machine_ids"] == list(IDS)


@pytest.mark.slow
def test_a_density_per_machine_tells_machines_apart_that_one_for_all_does_not(project, ganad, tmp_path):
    place, _ = project
    aucs = {}
    for per_machine in ("false", "true"):
        text = SYSTEM.replace("name: EmbeddingKNN, width: 4, units: 8", "name: SpectrumDensity").replace(
            "of: embedding, density: cosine_knn", f"per_machine: {per_machine}, density: gmm"
        )
        folder = tmp_path / per_machine
        folder.mkdir()
        (folder / "gmm.yaml").write_text(text.replace("./dev", str(place / "dev")))
        ganad("run", "gmm.yaml", "--dev", cwd=folder)
        rows = [line.split(",") for line in (folder / "result" / "result.csv").read_text().splitlines()]
        aucs[per_machine] = [float(row[1]) for row in rows if re.fullmatch(r"0[02]", row[0])]
    assert min(aucs["true"]) > 0.95 > 0.8 > max(aucs["false"])
    ganad("export", "gmm.yaml", "--name", "fan", cwd=tmp_path / "true")  # verified with machine IDs
    ganad(
        "compare", tmp_path / "true" / "result", tmp_path / "false" / "result", "--out", tmp_path, cwd=tmp_path, check=2
    )
    asked = [f"per_id={tmp_path / 'true' / 'result'}", f"for_all={tmp_path / 'false' / 'result'}"]
    lines = ganad("compare", *asked, "--out", tmp_path / "out", cwd=tmp_path).stdout.splitlines()
    labels = {line.split("|")[1].strip(): line.split("|")[3].strip() for line in lines if line.count("|") > 4}
    assert (labels["per_id"], labels["for_all"]) == ("machine ID", "none")


@pytest.mark.slow
def test_an_exported_model_takes_the_machine_of_each_clip(project, ganad, tmp_path):
    place, _ = project
    hum = {"00": 440, "02": 1200}
    for machine_id, hz in hum.items():
        write_wav(tmp_path / f"new_id_{machine_id}_1.wav", tone(1.0, hz=hz, seed=500))
    write_wav(tmp_path / "unnamed.wav", tone(1.0, hz=440, seed=501))
    model = place / "exported_models" / "fan"
    named = json.loads(
        ganad(
            "predict", model, tmp_path / "new_id_00_1.wav", tmp_path / "new_id_02_1.wav", "--json", cwd=tmp_path
        ).stdout
    )
    given = {
        machine_id: json.loads(
            ganad("predict", model, tmp_path / "unnamed.wav", "--machine-id", machine_id, "--json", cwd=tmp_path).stdout
        )[0]
        for machine_id in IDS
    }
    assert [row["is_anomaly"] for row in named] == [False, False]
    assert given["00"]["anomaly_score"] < given["02"]["anomaly_score"]
    assert given["02"]["is_anomaly"]
    refused = ganad("predict", model, tmp_path / "unnamed.wav", cwd=tmp_path, check=2).stderr
    assert "unnamed.wav: expected --machine-id, or one machine's ID in the name, such as id_00" in refused
    unknown = ganad("predict", model, tmp_path / "unnamed.wav", "--machine-id", "07", cwd=tmp_path, check=2).stderr
    assert "--machine-id: expected one of 00, 02. Received: 07." in unknown
    boards = ganad("export", "ids.yaml", "--format", "litert", cwd=place, check=2).stderr
    assert "Expected a detector without labels for --format litert" in boards

    artifact = Artifact(model)
    with pytest.raises(InputError, match="machine_id: expected, but missing"):
        artifact("score_waveform", {"waveform": tone(1.0)[np.newaxis]})
    server = ServingProcess(place / "exported_models")
    try:
        for url in (
            f"http://127.0.0.1:{server.port}/v1/models/fan",
            f"grpc://127.0.0.1:{server.grpc_port}/fan",
        ):
            asked = [tmp_path / "unnamed.wav", "--machine-id", "00", "--json"]
            (answer,) = json.loads(ganad("predict", url, *asked, cwd=tmp_path).stdout)
            assert answer["anomaly_score"] == pytest.approx(given["00"]["anomaly_score"], rel=1e-5)
            missing = ganad("predict", url, tmp_path / "unnamed.wav", cwd=tmp_path, check=2).stderr
            assert "machine_id: expected, but missing" in missing
    finally:
        server.stop()


@pytest.mark.slow
def test_machines_that_training_did_not_have_are_named(project, ganad, tmp_path):
    place, _ = project
    write_wav(place / "dev" / "fan" / "test" / "normal_id_04_00000000.wav", tone(1.0))
    try:
        said = ganad("score", "ids.yaml", "--dev", cwd=place, check=2).stderr
        ganad("prepare", "ids.yaml", "--dev", cwd=place)
        said = ganad("score", "ids.yaml", "--dev", cwd=place, check=2).stderr
    finally:
        (place / "dev" / "fan" / "test" / "normal_id_04_00000000.wav").unlink()
        ganad("prepare", "ids.yaml", "--dev", cwd=place)
    assert "Expected clips of the machine IDs that the detector was trained on, 00, 02. Received: 04." in said
    write_two_machines(tmp_path / "dev")
    for path in (tmp_path / "dev" / "fan").glob("*/*_id_02_*"):
        path.unlink()
    (tmp_path / "ids.yaml").write_text(SYSTEM)
    said = ganad("train", "ids.yaml", "--dev", cwd=tmp_path, check=2).stderr
    assert "Expected training clips of at least two machine IDs for EmbeddingKNN" in said
