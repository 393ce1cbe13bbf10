"""Densities of two domains: by scikit-learn, and in a system of two domains, from recordings to exported models."""

import dataclasses
import logging

import numpy as np
import pytest
import sklearn.covariance
import sklearn.metrics
import tensorflow as tf
from conftest import tone, write_wav
from test_densities import vectors
from test_tools import run

from ganad_tf import config as configuration
from ganad_tf.clips import Clip, Listing
from ganad_tf.config.sections import Scorer
from ganad_tf.engine.driver import HereWorkers
from ganad_tf.errors import DataError
from ganad_tf.results import evaluate, score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.run import MachineRun
from ganad_tf.scoring import compound_densities, densities, domain_densities
from ganad_tf.scoring.densities import Density
from ganad_tf.scoring.domain_densities import DensityByDomain
from ganad_tf.scoring.fit import check_clip_count

SOURCE, TARGET, TEST = (
    vectors(60),
    vectors(10, seed=1) + 5,
    np.concatenate([vectors(20, seed=2), vectors(10, seed=3) + 5]),
)
BOTH, DOMAINS = np.concatenate([SOURCE, TARGET]), ["source"] * 60 + ["target"] * 10


def scorer(**settings: object) -> Scorer:
    return Scorer(name="density", **settings)


def fitted(settings: Scorer) -> Density | DensityByDomain:
    return domain_densities.fit(BOTH, DOMAINS, settings, seed=0)


def scored(density: object, clips: np.ndarray) -> np.ndarray:
    return density(tf.constant(clips, tf.float32)).numpy()


DEVIATIONS = np.concatenate([SOURCE - SOURCE.mean(axis=0), TARGET - TARGET.mean(axis=0)]).astype(float).std(axis=0)


def distances(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances by scikit-learn, of vectors divided by the deviations within the domains."""
    return sklearn.covariance.LedoitWolf().fit(train / DEVIATIONS).mahalanobis(test / DEVIATIONS)


def test_the_minimum_is_the_lower_of_scikit_learn_s_two_distances():
    expected = np.minimum(distances(SOURCE, TEST), distances(TARGET, TEST))
    np.testing.assert_allclose(scored(fitted(scorer(domains="minimum")), TEST), expected, rtol=1e-3)
    is_nearer = distances(TARGET, TEST) < distances(SOURCE, TEST)
    assert is_nearer.tolist() == [False] * 20 + [True] * 10


def test_standardised_scores_are_divided_by_the_mean_of_their_domain_s_clips():
    settings = scorer(domains="standardized")
    means = [
        np.concatenate(
            [
                distances(np.delete(own, fold, axis=0), own[fold])
                for fold in densities.folds_of(len(own), seed=0, recordings=None)
            ]
        ).mean()
        for own in (SOURCE, TARGET)
    ]
    expected = np.minimum(distances(SOURCE, TEST) / means[0], distances(TARGET, TEST) / means[1])
    np.testing.assert_allclose(scored(fitted(settings), TEST), expected, rtol=1e-3)
    _, crossed = domain_densities.fit_and_cross_validate(BOTH, DOMAINS, settings, seed=0)
    assert crossed.shape == (70,)
    assert crossed.min() > 0
    assert crossed[:60].mean() == pytest.approx(1, rel=0.3)


def test_normal_clips_of_a_rare_domain_are_no_anomalies():
    """Few normal target clips, far from the source: pooled, they outrank anomalies near the source."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=[200, 6]), rng.normal(size=[10, 6]) + 12
    normal = np.concatenate([rng.normal(size=[50, 6]), rng.normal(size=[50, 6]) + 12])
    anomalies = np.concatenate([rng.normal(size=[50, 6]) + 3, rng.normal(size=[50, 6]) + 15])
    domains, labels = ["source"] * 200 + ["target"] * 10, [0] * 100 + [1] * 100
    areas = {}
    for name in ("pooled", "minimum", "standardized"):
        density = domain_densities.fit(np.concatenate([source, target]), domains, scorer(domains=name), seed=0)
        scores = scored(density, np.concatenate([normal, anomalies]))
        areas[name] = sklearn.metrics.roc_auc_score(labels, scores)
    assert areas["pooled"] < 0.75
    assert min(areas["minimum"], areas["standardized"]) > 0.9, areas


def test_whitening_is_by_the_deviations_within_both_domains():
    """Ten clips of twelve dimensions have no covariance of their own to whiten by."""
    centred = np.concatenate([own - own.mean(axis=0) for own in (SOURCE, TARGET)]) / DEVIATIONS
    variances, axes = np.linalg.eigh(sklearn.covariance.LedoitWolf().fit(centred).covariance_)
    known, new = (
        [own / DEVIATIONS @ axes / np.sqrt(variances) for own in part] for part in ((SOURCE, TARGET), (TEST,))
    )
    expected = np.min([np.linalg.norm(new[0][:, np.newaxis] - own, axis=2).min(axis=1) for own in known], axis=0)
    found = scored(fitted(scorer(density="knn", whiten=True, domains="minimum")), TEST)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(("target_smote", "n_synthetic"), [(0, 0), (2, 20), ("auto", 50)])
def test_synthetic_vectors_are_of_the_target_domain_alone(target_smote, n_synthetic):
    settings = scorer(density="cosine_knn", domains="pooled", target_smote=target_smote)
    references = fitted(settings).arrays["neighbors"]
    assert len(references) == 70 + n_synthetic
    units = BOTH / np.linalg.norm(BOTH, axis=1, keepdims=True)
    np.testing.assert_allclose(references[:70], units, rtol=1e-5)
    by_domain = fitted(dataclasses.replace(settings, domains="minimum"))
    assert [len(part.arrays["neighbors"]) for part in by_domain.parts.values()] == [60, 10 + n_synthetic]
    new = TARGET.min(axis=0) + np.random.default_rng(0).uniform(size=TARGET.shape) * np.ptp(TARGET, axis=0)
    with_more, without = (
        scored(domain_densities.fit(BOTH, DOMAINS, scorer(density="cosine_knn", target_smote=n), seed=0), new)
        for n in (target_smote, 0)
    )
    assert (with_more <= without + 1e-6).all()
    assert (with_more < without - 1e-6).any() == bool(n_synthetic)


def test_a_clip_does_not_vouch_for_itself_even_if_only_three_are_of_the_target():
    few, domains = BOTH[:63], DOMAINS[:63]
    for settings in (scorer(density="knn", domains="minimum"), scorer(density="knn", target_smote="auto")):
        density, crossed = domain_densities.fit_and_cross_validate(few, domains, settings, seed=0)
        assert scored(density, few).max() < 0.05
        assert crossed.min() > 0.1


@pytest.mark.parametrize("name", ["minimum", "standardized"])
def test_saved_constants_give_the_same_scores(name):
    settings = scorer(density="knn", domains=name, target_smote=2)
    masks = [np.arange(70) % 2 == number for number in range(2)]
    averaged, crossed = compound_densities.fit_averaged(BOTH, masks, settings, 0, DOMAINS)
    machines = ["00", "01.5"] * 35
    by_machine = compound_densities.fit_by_machine(BOTH, machines, settings, 0, DOMAINS)
    assert isinstance(by_machine.parts["00"], DensityByDomain)
    for density in (fitted(settings), averaged, by_machine):
        again = compound_densities.from_arrays("knn", {name: np.array(array) for name, array in density.arrays.items()})
        np.testing.assert_array_equal(scored(again, TEST), scored(density, TEST))
    assert scored(by_machine, TEST).shape == (30, 2)
    assert np.isfinite(crossed).all()
    np.testing.assert_allclose(
        scored(averaged, TEST), np.mean([scored(part, TEST) for part in averaged.parts], axis=0), rtol=1e-5
    )


def test_both_are_off_and_leave_the_record_of_a_scorer_as_it_was():
    assert not scorer().tells_domains
    assert scorer().relevant_settings().keys() == {"name", "pooling", "density", "whiten", "shrinkage"}
    assert scorer(domains="minimum", target_smote="auto").relevant_settings() == scorer().relevant_settings() | {
        "domains": "minimum",
        "target_smote": "auto",
    }
    plain = densities.fit(BOTH, scorer(), seed=0)
    np.testing.assert_array_equal(scored(fitted(scorer()), TEST), scored(plain, TEST))
    with pytest.raises(ValueError, match=r"expected `scorer.target_smote` from 0"):
        scorer(target_smote=-1)


def run_of(counts: dict[tuple[str, str], int], **settings: object) -> MachineRun:
    """Normal training clips by machine ID and domain."""
    clips = [
        Clip(f"fan/train/{machine_id}{domain}{n}.wav", f"{n}.wav", "fan", machine_id, "train", 0, 1, 1, domain=domain)
        for (machine_id, domain), count in counts.items()
        for n in range(count)
    ]
    config = configuration.from_mapping({"scorer": {"name": "density", **settings}}, source="test")
    return MachineRun(config, Listing("fan", None, tuple(clips)), "dev")


@pytest.mark.parametrize(
    ("counts", "settings", "said"),
    [
        (
            {("00", "source"): 20, ("00", "target"): 2},
            {"domains": "minimum"},
            "Expected at least 3 .* source and target for `scorer.domains: minimum`. Received: 2 of target of fan",
        ),
        ({("00", ""): 20}, {"target_smote": "auto"}, "`scorer.target_smote: auto`. Received: 0 of source .* 20 of no"),
        (
            {("00", "source"): 20, ("00", "target"): 5, ("01", "source"): 20, ("01", "target"): 1},
            {"domains": "standardized", "per_machine": True, "density": "knn", "neighbors": 5},
            r"Expected at least 6 .* Received: 5 of target of fan 00, 1 of target of fan 01\.",
        ),
    ],
)
def test_too_few_clips_of_a_domain_are_one_sentence(counts, settings, said):
    run = run_of(counts, **settings)
    with pytest.raises(DataError, match=said):
        check_clip_count(run, run.listing.clips)


@pytest.fixture
def two_domains(tmp_path) -> MachineRun:
    """Recordings of a machine that hums at 440 Hz, and at 900 Hz in the target domain; an anomaly is lower."""
    hz, clips = {"source": 440, "target": 900}, []
    for domain, n_train in (("source", 12), ("target", 8)):
        for split, label, count in (("train", 0, n_train), ("test", 0, 4), ("test", 1, 4)):
            for number in range(count):
                name = f"section_00_{domain}_{split}_{('normal', 'anomaly')[label]}_{number:04d}.wav"
                path = tmp_path / "dev" / "fan" / split / name
                write_wav(path, tone(1.0, hz=hz[domain] * (1 - 0.5 * label), seed=number + 100 * (split == "test")))
                stat = path.stat()
                file = f"fan/{split}/{name}"
                clips.append(Clip(file, name, "fan", "00", split, label, stat.st_size, stat.st_mtime_ns, domain=domain))
    settings = {
        **{f"{name}_directory": str(tmp_path / name) for name in ("dev", "model", "result", "cache")},
        "feature": {"n_mels": 16, "frames": 3},
        "model": {"name": "SpectrumDensity"},
        "fit": {"epochs": 1, "verbose": 0},
        "scorer": {"name": "density", "density": "knn", "domains": "standardized", "target_smote": "auto"},
        "threshold": {"method": "conformal", "folds": 5, "false_alarms": 0.2},
    }
    config = configuration.from_mapping(settings, source="test")
    return MachineRun(config, Listing("fan", tmp_path / "dev", tuple(sorted(clips))), "dev")


@pytest.mark.slow
def test_a_system_of_two_domains_is_trained_scored_and_exported(two_domains, tmp_path, monkeypatch, caplog):
    """The exports are verified against the live scores, which is an error where they differ."""
    from ganad_tf.cli import stages, terminal
    from ganad_tf.exporting import edge, savedmodel

    caplog.set_level(logging.WARNING)
    monkeypatch.chdir(tmp_path)
    stages.check([two_domains])
    stages.prepare_all([two_domains], ("train", "test"))
    units = stages.train_units([two_domains])
    units += stages.score_units([two_domains], fresh=False, command="", after=units)
    assert stages.on_workers(units, HereWorkers()) == {}
    (result,) = evaluate.results_of([two_domains])
    assert result.auc > 0.95
    assert "no decisions" not in caplog.text
    calibrated = score_files.read_calibration(MachineResults.of(two_domains).calibration_scores)
    assert len({row.name for row in calibrated}) == 20  # each normal clip by a density of the others
    savedmodel.export(two_domains, "fan", longest_seconds=10)
    for form in ("onnx", "litert"):
        edge.export(two_domains, "fan", form, batch=None, seconds=None, quietly=terminal.silenced)


@pytest.mark.slow
def test_densities_are_compared_on_two_real_machines(real_data, tmp_path):
    with np.load(real_data / "toycar_logmel" / "toycar_id01_id02.npz") as arrays:
        names = arrays["names"].tolist()
        chosen = [row for row, name in enumerate(names) if int(name[-4:]) % 10 == 0]
        np.savez(tmp_path / "few.npz", names=arrays["names"][chosen], logmel_db=arrays["logmel_db"][chosen])
    printed = run("domain_shift.py", "few.npz", "--target-clips", 4, "--seeds", 1, cwd=tmp_path)
    areas = np.array([line.split("|")[3:-1] for line in printed.splitlines()[2:]], float)
    assert areas.shape == (20, 4)
    assert areas.min() > 45
    assert areas[:, 0].max() > 90  # anomalies beside 25 clips of the same machine
