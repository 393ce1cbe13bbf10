"""Selection without labels: corrupted copies, the evidence of them, and the settings that come of it."""

import csv
import html
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import yaml
from conftest import tone, write_wav
from test_folders import TINY, write_folder

from ganad_tf import config as configuration
from ganad_tf.clips import Listing
from ganad_tf.errors import ConfigError
from ganad_tf.run import MachineRun
from ganad_tf.selection import evidence
from ganad_tf.selection.corruptions import KINDS, N_STRENGTHS, Original, corrupt
from ganad_tf.selection.evidence import TrialScores
from ganad_tf.selection.select import _variants, compare

HZ = np.geomspace(60, 7800, 40)
RANDOM = np.random.default_rng(0)
SLOPE = -40 - 6 * np.log2(HZ / 60)
CLIP = Original(SLOPE + RANDOM.normal(0, 3, [150, 1]), SLOPE + RANDOM.normal(0, 3, [90, 1]), seconds=0.032, hz=HZ)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stronger_the_corruption_the_farther_from_the_clip(kind):
    for seed in range(20):
        distances = [np.abs(corrupt(CLIP, kind, level, seed) - CLIP.log_mel).mean() for level in range(N_STRENGTHS)]
        assert distances[0] > 0
        assert np.diff(distances).min() > -1e-4, (seed, distances)
    first, second = (corrupt(CLIP, kind, 3, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
    assert any(not np.array_equal(first, corrupt(CLIP, kind, 3, seed)) for seed in range(8, 16))


@pytest.mark.parametrize("kind", ["tone", "bursts", "mixing"])
def test_what_is_added_makes_no_band_quieter(kind):
    for seed in range(20):
        assert (corrupt(CLIP, kind, 4, seed) - CLIP.log_mel).min() > -1e-4


def test_what_is_missing_is_the_machine_not_the_background():
    background, strokes = np.full([200, 40], -50.0), np.arange(200) % 20 < 5
    log_mel = np.where(strokes[:, np.newaxis], -20.0, background)
    clip = Original(log_mel, log_mel, 0.032, HZ)
    changed = np.array([corrupt(clip, "missing", 5, seed) for seed in range(20)])
    np.testing.assert_allclose(changed[:, ~strokes], -50, atol=1e-4)
    weak = np.isclose(changed[:, strokes], 10 * np.log10(1e-5 + (1e-2 - 1e-5) * 10**-1.6), atol=1e-3)
    assert 0.1 < weak.mean() < 0.6  # for a part of the time
    np.testing.assert_allclose(changed[:, strokes][~weak], -20, atol=1e-4)


def test_a_shift_by_an_exact_number_of_bands_by_hand():
    semitone_bands = 440.0 * 2 ** (np.arange(40) / 12)
    peak = np.full([5, 40], -60.0)
    peak[:, 20] = 0.0
    clip = Original(peak, peak, 0.032, semitone_bands)
    shifted = {int(corrupt(clip, "pitch", 5, seed)[0, 1:-1].argmax()) + 1 for seed in range(10)}
    assert shifted == {16, 24}  # 4 semitones down or up


def test_an_equal_sound_mixed_in_at_0_db_doubles_the_power():
    flat = np.full([10, 40], -20.0)
    mixed = corrupt(Original(flat, flat - 13.0, 0.032, HZ), "mixing", 3, seed=0)
    np.testing.assert_allclose(mixed, -20 + 10 * np.log10(2), atol=1e-5)


def test_low_sample_rates_have_corruptions_too():
    low = Original(CLIP.log_mel[:, :4], CLIP.other[:, :4], 0.5, np.array([12.0, 25.0, 40.0, 60.0]))
    for kind in KINDS:
        assert np.isfinite(corrupt(low, kind, 5, seed=2)).all()


def test_digital_silence_stays_finite():
    silence = np.full([30, 40], -156.5)
    for kind in KINDS:
        for level in range(N_STRENGTHS):
            assert np.isfinite(corrupt(Original(silence, silence, 0.032, HZ), kind, level, seed=1)).all()


def scores(separation, n_clips=30, seed=0):
    """Normal scores around 0, corrupted ones `[kinds, strengths, clips]` higher by `separation` times the strength."""
    random = np.random.default_rng(seed)
    raised = separation * np.arange(N_STRENGTHS)[:, np.newaxis]
    return TrialScores(random.normal(size=n_clips), random.normal(size=[len(KINDS), N_STRENGTHS, n_clips]) + raised)


def test_the_evidence_is_the_area_of_scikit_learn():
    of_trial = scores(0.4)
    of_trial.corrupted[0, 0, :5] = of_trial.normal[:5]  # ties
    areas = of_trial.wins().mean(axis=(2, 3))
    labels = [0] * 30 + [1] * 30
    for kind, level in np.ndindex(*areas.shape):
        expected = sklearn.metrics.roc_auc_score(labels, [*of_trial.normal, *of_trial.corrupted[kind, level]])
        assert areas[kind, level] == pytest.approx(expected, abs=1e-6)


def test_members_are_mixed_by_their_weights_whatever_their_scale():
    first, second = scores(0.4), scores(0.8, seed=1)
    scaled = TrialScores(1e4 * second.normal + 7, 1e4 * second.corrupted + 7)
    mixed = evidence.combined([first, scaled], (0.25, 0.75))
    z_scores = [(of.normal - of.normal.mean()) / of.normal.std() for of in (first, second)]
    np.testing.assert_allclose(mixed.normal, 0.25 * z_scores[0] + 0.75 * z_scores[1], atol=1e-9)
    np.testing.assert_array_equal(evidence.combined([first, scaled], (1.0, 0.0)).wins(), first.wins())
    constant = TrialScores(np.zeros(30), np.zeros_like(first.corrupted))
    assert np.isfinite(evidence.combined([constant, first], (0.5, 0.5)).corrupted).all()
    assert list(evidence.mixtures(1)) == [(1.0,)]
    assert len(list(evidence.mixtures(3))) == 15
    assert {sum(weights) for weights in evidence.mixtures(3)} == {1.0}


def test_each_kind_counts_at_the_strength_at_which_the_candidates_differ():
    weak, strong = scores(0.1), scores(0.9)
    chosen = evidence.at_chosen_strengths([weak.wins(), strong.wins()])
    areas = np.array([weak.wins().mean(axis=(2, 3)), strong.wins().mean(axis=(2, 3))])
    for kind in range(len(KINDS)):
        nearest = min(range(N_STRENGTHS), key=lambda level: abs(areas[:, kind, level].mean() - evidence.TARGET))
        assert chosen[:, kind].mean(axis=(1, 2)) == pytest.approx(areas[:, kind, nearest])


def test_standard_errors_are_those_of_repeated_draws_of_clips():
    differences = []
    for seed in range(150):
        wins = np.array([scores(separation, seed=seed).wins()[:, 3] for separation in (0.3, 0.35)])
        wins[1] = scores(0.35, seed=1000 + seed).wins()[:, 3]
        differences.append(wins[1].mean() - wins[0].mean())
    error = evidence.standard_errors(wins, 1, seed=0)
    assert error[1] == 0
    assert error[0] == pytest.approx(np.std(differences), rel=0.35)


def noisy(separation, noise, seed):
    """Scores of a system that is nearly `scores(separation)`."""
    of, random = scores(separation), np.random.default_rng(seed)
    return TrialScores(of.normal, of.corrupted + random.normal(0, noise, of.corrupted.shape))


def test_a_network_has_to_be_clearly_better_than_none():
    changes = [{}, {"pooling": "gwrp"}]
    alike = [[noisy(0.4, 0.02, seed) for seed in seeds] for seeds in ((1, 2), (3, 4))]
    first = compare(alike, changes, seed=0)[0]
    assert first.weights[0] <= 0.25
    assert first.scorer == {}
    better = compare([[scores(1.5), scores(0.1)], [scores(-0.3, seed=1), scores(0.1)]], changes, seed=0)
    assert better[0].weights[0] >= 0.5
    assert better[0].scorer == {}
    assert max(candidate.area for candidate in better) == pytest.approx(better[0].area + better[0].behind[0])
    assert [other.area for other in better[1:]] == sorted((other.area for other in better[1:]), reverse=True)
    assert len({(other.weights, tuple(other.scorer)) for other in better}) == 10


def test_a_scorer_has_to_be_better_by_a_point_and_by_two_standard_errors():
    changes = [{}, {"pooling": "gwrp"}]
    hardly = [[scores(0.4), TrialScores(scores(0.4).normal, scores(0.4).corrupted + 0.01)]]
    assert compare(hardly, changes, seed=0)[0].scorer == {}
    clearly = [[scores(0.4), scores(1.2)]]
    assert compare(clearly, changes, seed=0)[0].scorer == {"pooling": "gwrp"}
    few = [[scores(0.4, n_clips=3), scores(0.45, n_clips=3, seed=1)]]
    assert compare(few, changes, seed=0)[0].scorer == {}


WEIGHTED = {
    "ensemble": {"members": [{"model": {"name": "GANomaly"}}, {"model": {"name": "SpectrumDensity"}}]},
    "threshold": {"method": "quantile"},
}


def weighted(weights, **others):
    return configuration.from_mapping(
        {**WEIGHTED, **others, "ensemble": {**WEIGHTED["ensemble"], "weights": weights}}, source="test"
    )


def test_a_member_of_weight_0_is_left_out_of_everything():
    config = weighted([0, 2])
    assert list(config.member_configs()) == config.ensemble.labels() == ["spectrumdensity"]
    assert config.member_directories() == ["result/members/spectrumdensity"]
    assert config.ensemble.shares() is None
    assert weighted([1, 3]).ensemble.shares() == [0.25, 0.75]
    both = weighted(None, machines={"fan": {"ensemble": {"weights": [0, 1]}}})
    assert list(both.for_machine("fan").member_configs()) == ["spectrumdensity"]
    assert list(both.for_machine("pump").member_configs()) == ["ganomaly", "spectrumdensity"]
    assert weighted([1, 3]).score_settings() != weighted([1, 1]).score_settings() == weighted(None).score_settings()
    assert configuration.from_mapping(configuration.to_dict(both), source="test") == both
    overridden = configuration.from_mapping(
        {**WEIGHTED, "machines": {"fan": {"ensemble": {"weights": [0, 1]}}}},
        source="test",
        overrides=["ensemble.weights=[1, 0]"],
    )
    assert list(overridden.for_machine("fan").member_configs()) == ["ganomaly"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"weights": [1]}, "one weight for each of the 2 `ensemble.members`"),
        ({"weights": [0, 0]}, "not all 0"),
        ({"weights": [-1, 2]}, "none of them negative"),
        ({"weights": [1, 2], "combine": "max"}, "equal weights or 0 for `ensemble.combine: max`"),
    ],
)
def test_weights_that_mean_nothing_are_refused(changed, sentence):
    mapping = {**WEIGHTED, "ensemble": {**WEIGHTED["ensemble"], **changed}}
    with pytest.raises(ConfigError, match=sentence):
        configuration.from_mapping(mapping, source="test")


def test_members_are_the_same_for_all_machines_and_candidates_are_checked():
    with pytest.raises(ConfigError, match=r"the same `ensemble.members` for all machine types"):
        weighted(None, machines={"fan": {"ensemble": {"members": []}}})
    with pytest.raises(ConfigError, match=r"selection.scorers.*pooling"):
        weighted(None, selection={"scorers": [{"pooling": "gwrb"}]})


def test_candidates_are_those_that_are_run_even_where_a_member_has_a_scorer():
    mapping = {
        "dataset": {"name": "synthetic"},
        "scorer": {"pooling": "lulls"},
        "threshold": {"method": "quantile"},
        "selection": {"scorers": [{"pooling": "lulls"}, {"pooling": "gwrp"}, {"density": "gmm"}]},
        "ensemble": {
            "weights": [0, 1],
            "members": [
                {"model": {"name": "GANomaly"}},
                {"model": {"name": "SpectrumDensity"}, "scorer": {"pooling": "mean"}},
            ],
        },
    }
    config = configuration.from_mapping(mapping, source="test")
    run = MachineRun(config.for_machine("fan"), Listing("fan", Path("data"), ()), "dev")
    changes, variants = _variants(run)
    assert [dict(change) for change in changes] == [
        {},
        {"name": "density", "pooling": "lulls"},
        {"name": "density", "pooling": "gwrp"},
        {"name": "density", "density": "gmm"},
    ]
    assert [[system.config.scorer.pooling for system in systems] for systems in variants] == [
        ["lulls", "mean"],  # also of the member of weight 0
        ["lulls", "lulls"],
        ["gwrp", "gwrp"],
        ["lulls", "mean"],
    ]
    mapping["ensemble"]["members"][1].pop("scorer")
    config = configuration.from_mapping(mapping, source="test")
    run = MachineRun(config.for_machine("fan"), Listing("fan", Path("data"), ()), "dev")
    assert len(_variants(run)[0]) == 3  # lulls is what it has


@pytest.fixture(scope="module")
def selected(tmp_path_factory, ganad):
    """A folder of recordings after `ganad run FOLDER`."""
    home = tmp_path_factory.mktemp("selected")
    write_folder(home / "fan", n_normal=14)
    return home, ganad("run", "fan", "--set", *TINY, "selection.scorers=[{pooling: gwrp}]", cwd=home)


@pytest.mark.slow
def test_a_folder_s_run_says_what_was_chosen_and_why(selected):
    home, done = selected
    settings = yaml.safe_load((home / "fan-ganad" / "config.yaml").read_text())["machines"]["fan"]
    with (home / "fan-ganad" / "selection.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["chosen"] for row in rows] == ["yes", "no"]  # 2 scorers, without a network of a few steps
    assert "Without ganomaly, which has learned little" in rows[0]["why"]
    page = html.unescape((home / "fan-ganad" / "report" / "report.html").read_text())
    assert rows[0]["why"].replace("`", "") in page
    assert "spectrum_density: learned little" in page
    shares = dict(zip(("ganomaly", "spectrum_density"), settings["ensemble"]["weights"], strict=True))
    for name, weight in shares.items():
        assert (f"{100 * weight:g} % {name}" in rows[0]["candidate"]) == (weight > 0)
        assert (home / "fan-ganad" / "model" / "members" / name).exists() == (weight > 0)
    assert f"fan: {rows[0]['candidate']}" in done.stdout
    assert f"In {100 * float(rows[0]['auc']):.1f} % of pairs of a healthy clip and a corrupted copy" in done.stdout
    best = max(rows, key=lambda row: float(row["auc"]))
    assert float(rows[0]["behind_best"]) == pytest.approx(float(best["auc"]) - float(rows[0]["auc"]), abs=2e-4)
    for kind in KINDS:
        assert 0 <= float(rows[0][kind]) <= 1
    assert float(rows[0]["auc"]) == pytest.approx(np.mean([float(rows[0][kind]) for kind in KINDS]), abs=2e-4)


@pytest.mark.slow
def test_a_second_run_selects_nothing_again(selected, ganad):
    home, done = selected
    before = (home / "fan-ganad" / "config.yaml").read_text()
    again = ganad("run", "fan", cwd=home)
    assert "corrupted copy" in done.stdout
    assert "corrupted copy" not in again.stdout
    assert (home / "fan-ganad" / "config.yaml").read_text() == before
    table = (home / "fan-ganad" / "selection.csv").read_text()
    fresh = ganad("run", "fan", "--fresh", cwd=home)
    assert "corrupted copy" in fresh.stdout
    recomputed = [line for line in fresh.stderr.splitlines() if "clips prepared" in line]
    assert len(recomputed) == len([line for line in done.stderr.splitlines() if "clips prepared" in line])
    assert all("0 kept" in line for line in recomputed)
    assert (home / "fan-ganad" / "config.yaml").read_text() == before
    assert (home / "fan-ganad" / "selection.csv").read_text() == table


@pytest.mark.slow
def test_settings_on_the_command_line_are_not_overruled(ganad, tmp_path):
    write_folder(tmp_path / "fan", n_normal=14)
    done = ganad(
        "run",
        "fan",
        "--set",
        *TINY,
        "ensemble.weights=[0,1]",
        "scorer.pooling=mean",
        "scorer.density=gmm",
        cwd=tmp_path,
    )
    assert "corrupted copy" not in done.stdout
    written = configuration.load(tmp_path / "fan-ganad" / "config.yaml").for_machine("fan")
    assert list(written.member_configs()) == ["spectrum_density"]
    assert (written.scorer.pooling, written.scorer.density) == ("mean", "gmm")
    assert not (tmp_path / "fan-ganad" / "selection.csv").exists()
    assert sorted(path.name for path in (tmp_path / "fan-ganad" / "model" / "members").iterdir()) == [
        "spectrum_density"
    ]
    files = sorted((tmp_path / "fan").rglob("*.wav"))
    predicted = ganad("predict", "fan-ganad", *files[:2], "--csv", cwd=tmp_path)
    assert len(predicted.stdout.splitlines()) == 3


FAN = (
    "dataset: {name: folder}\nmodel: {name: SpectrumDensity}\nfeature: {n_mels: 16}\nscorer: {pooling: mean}\n"
    "threshold: {method: quantile}\nselection: {scorers: [{density: knn}]}\ndev_directory: dev\n"
)


@pytest.mark.slow
def test_the_verb_prints_what_a_configuration_takes(ganad, tmp_path):
    write_folder(tmp_path / "dev" / "fan", n_normal=14)
    config = tmp_path / "fan.yaml"
    config.write_text(FAN)
    done = ganad("select", config, cwd=tmp_path)
    printed = yaml.safe_load(done.stdout)
    assert "corrupted copy" in done.stderr
    assert set(printed["machines"]) == {"fan"}
    mapping = {**yaml.safe_load(config.read_text()), **printed}
    scorer = configuration.from_mapping(mapping, source="test").for_machine("fan").scorer
    assert scorer.density in ("mahalanobis", "knn")
    assert not (tmp_path / "model").exists()
    config.write_text(config.read_text().replace("selection: {scorers: [{density: knn}]}\n", ""))
    refused = ganad("select", config, cwd=tmp_path, check=2)
    assert "Expected something to select" in refused.stderr


def test_recordings_that_are_one_block_keep_the_configured_settings(ganad, tmp_path):
    for index in range(5):
        write_wav(tmp_path / "dev" / "fan" / "normal" / f"{index}.wav", tone(0.5, seed=index))
    config = tmp_path / "fan.yaml"
    config.write_text(f"{FAN}calibration: {{block: 5}}\n")
    done = ganad("select", config, cwd=tmp_path)
    assert "fan: too few recordings to select settings by" in done.stderr
    assert yaml.safe_load(done.stdout) == {"machines": {}}
