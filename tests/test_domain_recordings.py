"""Densities of two domains whose clips share recordings: enough of them before the training, left out as a whole."""

import dataclasses

import numpy as np
import pytest
from conftest import tone, write_wav
from test_densities import vectors

from ganad_tf import config as configuration
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import Clip, Listing
from ganad_tf.config.sections import Scorer
from ganad_tf.engine.driver import HereWorkers
from ganad_tf.errors import DataError
from ganad_tf.results import score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.run import MachineRun
from ganad_tf.scoring import compound_densities, domain_densities
from ganad_tf.scoring.fit import check_clip_count, recordings_left_out
from ganad_tf.scoring.folds import Fold, has_enough_clips

# Four clips of each recording are nearly one vector.
EACH = np.concatenate([vectors(10), vectors(5, seed=1) + 5])
VECTORS = np.repeat(EACH, 4, axis=0) + 0.01 * np.random.default_rng(0).normal(size=(60, EACH.shape[1]))
DOMAINS, RECORDINGS = ["source"] * 40 + ["target"] * 20, [f"rec{row // 4}" for row in range(60)]


def scorer(**settings: object) -> Scorer:
    return Scorer(name="density", **settings)


def clips_of(sizes: dict[str, list[int]], machine_id: str = "00") -> list[Clip]:
    """Normal training clips by the number of clips of each recording of a domain."""
    return [
        Clip(f"fan/{domain}{rec}_{n}.wav", f"{n}", "fan", machine_id, "train", 0, 1, 1, f"{domain}{rec}", domain=domain)
        for domain, of_domain in sizes.items()
        for rec, count in enumerate(of_domain)
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("sizes", "settings", "said"),
    [
        ({"source": [4] * 5, "target": [8]}, {"domains": "minimum"}, "8 of target in 1 recording of fan"),
        ({"source": [4] * 5, "target": [2, 1]}, {"target_smote": 1}, "3 of target in 2 recordings of fan"),
        (
            {"source": [20], "target": [4, 4]},
            {"domains": "standardized", "density": "knn", "neighbors": 5},
            "20 of source in 1 recording of fan, 8 of target in 2 recordings of fan",
        ),
        ({"source": [5, 5], "target": [2, 2]}, {"domains": "minimum"}, None),
    ],
)
def test_too_few_recordings_of_a_domain_are_refused_before_the_training(sizes, settings, said):
    clips = clips_of(sizes)
    config = configuration.from_mapping({"scorer": {"name": "density", **settings}}, source="test")
    run = MachineRun(config, Listing("fan", None, tuple(clips)), "dev")
    if said:
        with pytest.raises(
            DataError, match=rf"outside any recordings that are left out together\. Received: {said}\.$"
        ):
            check_clip_count(run, clips)
        return
    check_clip_count(run, clips)
    names = recordings_left_out(clips, config.scorer, 0)
    assert names == [clip.recording for clip in clips]
    of_clips = [clip.domain for clip in clips]
    domain_densities.fit_and_cross_validate(vectors(len(clips)), of_clips, config.scorer, 0, names)


def test_the_rest_of_a_fold_of_both_domains_is_enough_for_the_neighbours():
    """Two of twelve and two of eleven clips are left out together, and nineteen are left."""
    clips = clips_of({"source": [1] * 12, "target": [1] * 11})
    settings = {"name": "density", "density": "knn", "neighbors": 20, "target_smote": "auto"}
    config = configuration.from_mapping({"scorer": settings}, source="test")
    run = MachineRun(config, Listing("fan", None, tuple(clips)), "dev")
    with pytest.raises(DataError, match=r"at least 20 normal training clips .* Received: 19 of fan\.$"):
        check_clip_count(run, clips)
    check_clip_count(run, [*clips, *clips_of({"source": [1]}, "00")])


def test_scales_are_those_of_clips_whose_recordings_were_left_out():
    """A density that has seen the siblings of a clip gives it a score near 0, and the domain a scale near 0."""
    settings = scorer(density="knn", domains="standardized")
    averaged_over = [np.arange(60) % 8 < 4, np.arange(60) % 8 >= 4]
    averaged, _ = compound_densities.fit_averaged(VECTORS, averaged_over, settings, 0, DOMAINS, RECORDINGS)
    alone, _ = compound_densities.fit_averaged(VECTORS, averaged_over, settings, 0, DOMAINS)
    by_machine = compound_densities.fit_by_machine(VECTORS, ["00"] * 60, settings, 0, DOMAINS, RECORDINGS)
    (of_machine,) = by_machine.parts.values()
    crossed, _ = domain_densities.fit_and_cross_validate(VECTORS, DOMAINS, settings, 0, RECORDINGS)
    for domain in ("source", "target"):
        scale = crossed.scales[domain]
        assert averaged.parts[0].scales[domain] == of_machine.scales[domain] == scale
        assert scale > 20 * alone.parts[0].scales[domain]


def test_a_fold_with_one_recording_of_a_domain_has_no_scale():
    clips = clips_of({"source": [2] * 5, "target": [8]})
    fold = Fold(tuple(Entry(clip, "a", index, 9, str(index)) for index, clip in enumerate(clips)), ())
    assert not has_enough_clips(fold, scorer(domains="standardized"))
    assert has_enough_clips(fold, scorer(domains="minimum"))


def test_one_regularization_is_chosen_for_all_folds():
    settings = scorer(density="gmm", components=1, domains="minimum")
    masks = [np.arange(60) % 20 < 18, np.arange(60) % 20 >= 18]
    averaged, _ = compound_densities.fit_averaged(VECTORS, masks, settings, 0, DOMAINS, RECORDINGS)
    whole = domain_densities.fit(VECTORS, DOMAINS, settings, 0).arrays
    for name in ("source:regularization", "target:regularization"):
        assert {float(part.arrays[name]) for part in averaged.parts} == {float(whole[name])}
    pooled = scorer(density="gmm", components=1, target_smote=1)
    density, crossed = domain_densities.fit_and_cross_validate(VECTORS, DOMAINS, pooled, 0, RECORDINGS)
    given = dataclasses.replace(pooled, regularization=float(density.arrays["regularization"]))
    _, expected = domain_densities.fit_and_cross_validate(VECTORS, DOMAINS, given, 0, RECORDINGS)
    np.testing.assert_allclose(crossed, expected, rtol=1e-4)


def recorded(folder, split: str, domain: str, number: int) -> Clip:
    """One of two stretches of a recording that differ by a hundredth of a decibel."""
    name = f"{split}_{domain}_{number}.wav"
    sound = tone(0.5, hz={"source": 440, "target": 900}[domain], seed=number // 2) * (1 + 0.001 * (number % 2))
    write_wav(folder / "fan" / name, sound)
    stat, group = (folder / "fan" / name).stat(), f"{split}{domain}{number // 2}"
    return Clip(f"fan/{name}", name, "fan", "00", split, 0, stat.st_size, stat.st_mtime_ns, group, domain=domain)


@pytest.mark.slow
def test_siblings_make_no_scale_of_a_trained_system(tmp_path):
    """Divided by the scale of clips whose siblings were known, the scores of other clips were twenty and more."""
    from ganad_tf.cli import stages

    kinds = [("train", 10), ("test", 2)]
    clips = [
        recorded(tmp_path / "dev", s, d, n) for s, count in kinds for d in ("source", "target") for n in range(count)
    ]
    settings = {
        **{f"{name}_directory": str(tmp_path / name) for name in ("dev", "model", "result", "cache")},
        "feature": {"n_mels": 16, "frames": 3},
        "model": {"name": "SpectrumDensity"},
        "fit": {"epochs": 1, "verbose": 0},
        "scorer": {"name": "density", "density": "knn", "domains": "standardized"},
        "threshold": {"method": "conformal", "folds": 2, "false_alarms": 0.2},
    }
    config = configuration.from_mapping(settings, source="test")
    run = MachineRun(config, Listing("fan", tmp_path / "dev", tuple(sorted(clips))), "dev")
    stages.prepare_all([run], ("train", "test"))
    units = stages.train_units([run])
    units += stages.score_units([run], fresh=False, command="", after=units)
    assert stages.on_workers(units, HereWorkers()) == {}
    files = MachineResults.of(run)
    for rows in (score_files.read_scores(files.train_scores), score_files.read_calibration(files.calibration_scores)):
        assert len(rows) == 20
        assert 0.2 < np.median([row.score for row in rows]) < 5
    assert {row.recording for row in rows} == {f"train{d}{n}" for d in ("source", "target") for n in range(5)}
