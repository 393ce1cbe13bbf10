"""Augmentation of training windows: what it does to them, by which random numbers, and what it leaves alone."""

import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tone, write_machine, write_wav

from ganad_tf import config as configuration
from ganad_tf import datasets, runtime
from ganad_tf.audio import augment as waveforms
from ganad_tf.cache import copies, records
from ganad_tf.cache import windows as pipeline
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cache.spectra import KeptSpectra
from ganad_tf.cache.time_shift import Shift
from ganad_tf.cache.windows import Source
from ganad_tf.cli import stages
from ganad_tf.clips import COPIES
from ganad_tf.config.augmentation import WaveformAugmentation
from ganad_tf.config.sections import Audio, Augmentation
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.features import Normalizer
from ganad_tf.files.throttle import Throttle
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.training import checkpoint, fused_steps
from ganad_tf.training.augment import WindowAugmentation
from ganad_tf.training.build import build
from ganad_tf.training.train import train_detector

FRAMES, BANDS, N = 6, 10, 4000
ALL = {"gain_db": 6.0, "mixup": 0.4, "band_mask": 4, "time_mask": 2, "time_shift": 3}


def windows(seed=0):
    return np.random.default_rng(seed).normal(size=[N, FRAMES * BANDS]).astype(np.float32)


def changed(batch, step=3, normalizer=None, seed=0, **settings):
    augment = WindowAugmentation(Augmentation(**settings), FRAMES, normalizer, seed=seed, first_step=step)
    return augment(tf.constant(batch)).numpy()


def test_a_gain_adds_the_same_decibels_to_each_value_of_a_window():
    mean, deviation = np.linspace(-60, -20, BANDS), np.linspace(2, 8, BANDS)
    added = changed(windows(), gain_db=6.0, normalizer=Normalizer(mean.tolist(), deviation.tolist())) - windows()
    decibels = added.reshape(N, FRAMES, BANDS) * deviation
    np.testing.assert_allclose(decibels, np.broadcast_to(decibels[:, :1, :1], decibels.shape), atol=1e-4)
    gains = decibels[:, 0, 0]
    assert -6 <= gains.min() < -5.9 < 5.9 < gains.max() <= 6
    assert gains.std() == pytest.approx(6 / np.sqrt(3), rel=0.03)  # of a uniform distribution


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_mixup_mixes_a_window_with_another_by_a_share_of_the_beta_distribution(alpha):
    others = windows()[::-1]
    share = ((changed(windows(), mixup=alpha) - others) / (windows() - others))[: N // 2]
    np.testing.assert_allclose(np.median(share, axis=1), share[:, 0], atol=2e-2)
    share = np.median(share, axis=1)
    assert 0 <= share.min() < share.max() <= 1
    assert share.mean() == pytest.approx(0.5, abs=0.03)
    assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)  # of Beta(alpha, alpha)


@pytest.mark.parametrize(("name", "axis", "longest"), [("band_mask", 2, 4), ("time_mask", 1, 3)])
def test_a_mask_replaces_one_stretch_by_the_mean_of_each_band(name, axis, longest):
    before = windows().reshape(N, FRAMES, BANDS)
    after = changed(windows(), **{name: longest}).reshape(N, FRAMES, BANDS)
    is_masked = (after != before).any(axis=3 - axis)
    mean = np.broadcast_to(before.mean(axis=(0, 1)), before.shape)
    whole = np.expand_dims(is_masked, 3 - axis) & np.ones_like(before, bool)
    np.testing.assert_allclose(after[whole], mean[whole], atol=1e-5)
    sizes = is_masked.sum(axis=1)
    assert set(sizes) == set(range(longest + 1))
    np.testing.assert_allclose(np.bincount(sizes) / N, 1 / (longest + 1), atol=0.04)
    steps = np.abs(np.diff(np.pad(is_masked.astype(int), [(0, 0), (1, 1)]), axis=1)).sum(axis=1)
    assert steps.max() == 2  # one stretch
    assert is_masked.any(axis=0).all()  # anywhere


def test_random_numbers_follow_from_seed_and_step_alone():
    settings = {name: value for name, value in ALL.items() if name != "time_shift"}
    once = changed(windows(), **settings)
    np.testing.assert_array_equal(changed(windows(), **settings), once)
    for other in ({"step": 4}, {"seed": 1}):
        assert (changed(windows(), **settings, **other) != once).any(axis=1).mean() > 0.99
    augment = WindowAugmentation(Augmentation(**settings), FRAMES, None, seed=0, first_step=2)
    assert not np.allclose(augment(tf.constant(windows())), once)  # the step before
    np.testing.assert_array_equal(augment(tf.constant(windows())), once)


def test_labels_stay_and_the_batches_of_a_pair_are_changed_each_by_itself():
    augment = WindowAugmentation(Augmentation(gain_db=6.0), FRAMES, None, seed=0)
    numbers = tf.range(N)
    labelled, same = augment((tf.constant(windows()), numbers))
    np.testing.assert_array_equal(same, numbers)
    assert not np.allclose(labelled, windows())
    ((one, other),) = augment(((tf.constant(windows()), tf.constant(windows())),))
    assert not np.allclose(one, other)


def test_a_shifted_window_stays_in_its_clip():
    edges = tf.constant([0, 40, 52, 60], tf.int64)  # the last two clips are short
    starts = tf.constant([0, 7, 30, 34, 40, 46, 52, 54], tf.int64)
    often = tf.tile(starts, [300])
    shift = Shift.within(edges, often, 6, 5)
    drawn = shift.shifted(often, tf.range(2400, dtype=tf.int64), [3, 4]).numpy().reshape(300, 8)
    assert drawn.min(axis=0).tolist() == [0, 2, 25, 29, 40, 41, 52, 52]
    assert drawn.max(axis=0).tolist() == [5, 12, 34, 34, 45, 46, 54, 54]
    assert Shift.within(edges, starts, 6, 0) is None


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    runtime.deterministic()
    folder = tmp_path_factory.mktemp("augmentation")
    write_machine(folder / "data", "fan", ids=("00",), n_train=8)
    return folder


def run_of(recordings, folder, *, augmentation, **fit):
    mapping = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(recordings / "cache"),
        "model_directory": str(folder / "model"),
        "result_directory": str(folder / "result"),
        "feature": {"standardize": True, "window_hop": 2},
        "model": {"name": "DenseAE", "hidden": [8], "latent": 4},
        "fit": {"epochs": 3, "batch_size": 32, "validation_split": 0.25, **fit},
        "augmentation": augmentation,
    }
    config = configuration.from_mapping(mapping, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    run = MachineRun(config, listing, "dev")
    prepare_cache(run, "train")
    return run


@pytest.mark.parametrize("budget_mb", [pytest.param(64, marks=pytest.mark.slow), 0])
def test_shifted_windows_are_windows_of_the_clips_in_another_phase(recordings, tmp_path, budget_mb):
    run = run_of(recordings, tmp_path, augmentation={})
    cache = Cache(run, "train")
    source = Source(KeptSpectra(cache.path), cache.current().entries, 128, 5, None, hop=2, time_shift=3)
    read = [log_mel for _, log_mel in source.spectra.read(source.entries)]
    known = {
        (number, at): clip[at : at + 5].tobytes() for number, clip in enumerate(read) for at in range(len(clip) - 4)
    }
    places = {values: place for place, values in known.items()}
    batches = pipeline.window_batches(source, batch_size=64, seed=1, memory_budget_mb=budget_mb, passes=2)
    drawn = [places[window.tobytes()] for batch in batches for window in batch.numpy()]
    assert len(drawn) == 2 * source.n_windows
    assert {at % 2 for _, at in drawn} == {0, 1}  # without a shift, they begin at even spectra
    once, again = np.split(np.array(drawn), 2)
    assert sorted(once.tolist()) != sorted(again.tolist())


class KilledError(Exception):
    """Stands for a kill between two steps."""


class Kill(keras.callbacks.Callback):
    """Ends training in the middle of an epoch, of which nothing can be kept."""

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        if len(self.model.history.epoch) == 2:
            raise KilledError


def weights_and_curves(run):
    model = ModelDirectory(Path(run.config.model_directory, "dev", "fan")).load()
    return model.detector.get_weights(), model.record


@pytest.mark.slow
def test_an_interrupted_training_ends_as_one_that_was_not(recordings, tmp_path, monkeypatch):
    """Streamed, compiled, and with copies of clips; tests/test_resume.py has it in memory, without copies."""
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))  # after every epoch
    monkeypatch.setattr(fused_steps, "WORTH_COMPILING", 0)
    settings = ALL | {"waveform": {"copies": 2, "gain_db": 6.0}}
    runs = [run_of(recordings, tmp_path / name, augmentation=settings, memory_budget_mb=0) for name in "ab"]
    with pytest.raises(KilledError):
        train_detector(runs[1], callbacks=(Kill(),))
    for run in runs:
        train_detector(run)
    (whole, record), (resumed, same) = map(weights_and_curves, runs)
    for mine, theirs in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert record["history"] == same["history"]
    clean = Cache(runs[0], "train").current().statistics
    np.testing.assert_allclose(record["normalizer"]["mean"], clean.mean, rtol=1e-6)
    described = {name: value for name, value in record["settings"].items() if name.startswith("augmentation")}
    flat = ALL | {"waveform.copies": 2, "waveform.gain_db": 6.0}
    assert described == {f"augmentation.{name}": value for name, value in flat.items()}
    assert record["n_clips"] == {"training": 6, "validation": 2}
    assert record["n_steps"] == 3 * -(-3 * record["n_windows"]["training"] // 32)  # three epochs of clips and copies
    with pytest.raises(ConfigError, match="augmentation"):
        train_detector(run_of(recordings, tmp_path / "a", augmentation={}, memory_budget_mb=0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augmentation": {"gain": 3}}, "unknown key `augmentation.gain`; did you mean `gain_db`?"),
        ({"augmentation": {"gain_db": -3}}, "`augmentation.gain_db` from 0 to below 60.0. Received: -3"),
        ({"augmentation": {"mixup": -0.1}}, "`augmentation.mixup` from 0 to below 100"),
        (
            {"augmentation": {"band_mask": 128}},
            "`augmentation.band_mask` below the 128 bands of a window. Received: 128",
        ),
        ({"augmentation": {"time_mask": 5}}, "`augmentation.time_mask` below the 5 frames of a window"),
        (
            {"augmentation": {"gain_db": 3}, "feature": {"log": "relative_80db"}},
            "no `augmentation.gain_db` with `feature.log: relative_80db`",
        ),
        (
            {"augmentation": {"gain_db": 3}, "feature": {"kind": "pcen"}},
            "no `augmentation.gain_db` with `feature.kind: pcen`",
        ),
        ({"augmentation": {"time_shift": 3}, "fit": {"shuffle": False}}, "`fit.shuffle: true` for `augmentation.time"),
        ({"augmentation": {"waveform": {"copies": 2}}}, "expected both `augmentation.waveform.copies` and a change"),
        ({"augmentation": {"waveform": {"gain_db": 2}}}, "expected both `augmentation.waveform.copies` and a change"),
        (
            {"augmentation": {"waveform": {"copies": 1, "noise_snr_db": [20, 0]}}},
            "the lowest and the highest ratio for `augmentation.waveform.noise_snr_db`",
        ),
        (
            {"augmentation": {"waveform": {"copies": 1, "filters": ["low"]}}},
            "low_pass or high_pass or band_pass for `augmentation.waveform.filters`. Received: 'low'",
        ),
        (
            {"augmentation": {"waveform": {"copies": 1, "gain_db": 1}}, "dataset": {"name": "imported"}},
            "recordings for `augmentation.waveform`. Received: log-mels",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError) as error:
        configuration.from_mapping(settings, source="test")
    assert message in str(error.value)


def test_mixtures_of_windows_whose_machine_ids_are_learned_are_refused():
    config = configuration.from_mapping(
        {"model": {"name": "IDClassifier"}, "augmentation": {"mixup": 1}}, source="test"
    )
    with pytest.raises(ConfigError, match="no `augmentation.mixup` for IDClassifier"):
        build(config, ("00", "02"))


def copy_of(samples, seed=0, **settings):
    settings = WaveformAugmentation(copies=1, **settings)
    files = waveforms.background_files(settings.background) if settings.background else ()
    return waveforms.changed(samples, settings, Audio(), np.random.default_rng(seed), backgrounds=files)


def power_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def test_a_copy_is_louder_rotated_or_noisier_by_what_the_settings_say(tmp_path):
    sound = tone()
    gains = [power_db(copy_of(sound, seed, gain_db=6.0)) - power_db(sound) for seed in range(40)]
    assert -6 <= min(gains) < -4 < 4 < max(gains) <= 6
    rotated = copy_of(sound, time_shift_seconds=0.5)
    (shift,) = [
        by for by in range(-8000, 8001) if sound[-by] == rotated[0] and np.array_equal(np.roll(sound, by), rotated)
    ]
    assert shift
    write_wav(tmp_path / "deep" / "hall.wav", tone(seconds=0.3, hz=2000))
    for settings in ({"noise_snr_db": [3.0, 3.0]}, {"background": str(tmp_path), "background_snr_db": [3.0, 3.0]}):
        added = copy_of(sound, **settings) - sound
        assert power_db(sound) - power_db(added) == pytest.approx(3, abs=0.01)
    assert np.abs(np.fft.rfft(added)).argmax() == pytest.approx(2000, abs=2)  # the background's tone
    np.testing.assert_array_equal(copy_of(sound, 1, gain_db=6.0), copy_of(sound, 1, gain_db=6.0))


@pytest.mark.parametrize(("kind", "low", "high"), [("low_pass", 5, 1), ("high_pass", 1, 5), ("band_pass", 2, 2)])
def test_a_filter_takes_away_the_end_that_its_name_says(kind, low, high):
    """Of white noise, averaged over copies: decibels of the lowest and of the highest tenth, against the middle."""
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    spectra = np.mean([np.abs(np.fft.rfft(copy_of(noise, seed, filters=[kind]))) ** 2 for seed in range(20)], axis=0)
    tenths = np.array([part.mean() for part in np.array_split(spectra / np.mean(np.abs(np.fft.rfft(noise)) ** 2), 10)])
    assert (tenths[0] < 0.8) == (low < 5)
    assert (tenths[-1] < 0.8) == (high < 5)
    assert tenths.max() > 0.4


@pytest.mark.slow
def test_pitch_and_speed_change_without_each_other():
    sound = tone(seconds=2.0)
    for seed in range(4):
        slower = copy_of(sound, seed, speed=0.3)
        assert 32000 / 1.31 < len(slower) < 32000 / 0.69
        peak = np.abs(np.fft.rfft(slower)).argmax() * 16000 / len(slower)
        assert peak == pytest.approx(440, rel=0.01)
        higher = copy_of(sound, seed, pitch_semitones=3.0)
        assert len(higher) == 32000
        assert 440 / 2 ** (3.1 / 12) < np.abs(np.fft.rfft(higher)).argmax() / 2 < 440 * 2 ** (3.1 / 12)


def test_copies_are_trained_on_and_nothing_else_sees_them(recordings, tmp_path):
    waveform = {"copies": 2, "gain_db": 6.0, "noise_snr_db": [0.0, 10.0]}
    clean = run_of(recordings, tmp_path, augmentation={})
    run = run_of(recordings, tmp_path, augmentation={"waveform": waveform})
    entries = Cache(run, "train").current().entries
    assert entries == Cache(clean, "train").current().entries
    source = Source(KeptSpectra(Cache(run, "train").path), entries[:3], 128, 5, None)
    both = copies.added(run, source, entries)
    assert copies.added(clean, source, entries) == source
    assert [entry.clip.copy for entry in both.entries] == [0] * 3 + [1, 2] * 3
    assert {entry.clip.original for entry in both.entries} == {entry.clip.key for entry in entries[:3]}
    assert {entry.clip.recording for entry in both.entries} == {entry.clip.recording for entry in entries[:3]}
    read = {entry.clip: log_mel for entry, log_mel in both.spectra.read(both.entries)}
    assert len({log_mel.tobytes() for log_mel in read.values()}) == 9
    streamed = pipeline.window_batches(both, batch_size=500, seed=1, memory_budget_mb=0)
    assert sum(len(batch) for batch in streamed) == both.n_windows == 3 * source.n_windows
    changed_path = Cache(copies.run_of_copies(run, entries), COPIES).path
    before = {path.name: path.stat().st_mtime_ns for path in changed_path.glob("*.tfrecord")}
    assert before
    assert prepare_cache(run, "train").n_new == 0
    assert {path.name: path.stat().st_mtime_ns for path in changed_path.glob("*.tfrecord")} == before
    louder = run_of(recordings, tmp_path, augmentation={"waveform": waveform | {"gain_db": 3.0}})
    assert Cache(copies.run_of_copies(louder, entries), COPIES).path != changed_path


def test_each_member_of_an_ensemble_has_the_copies_of_its_seed(recordings, tmp_path):
    members = [
        {"name": name, "seed": seed, "model": {"name": "SpectrumDensity"}} for name, seed in (("a", 1), ("b", 2))
    ]
    mapping = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(tmp_path / "cache"),
        "ensemble": {"members": members},
        "augmentation": {"waveform": {"copies": 1, "gain_db": 6.0}},
    }
    config = configuration.from_mapping(mapping, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    systems = MachineRun(config, listing, "dev").systems()
    stages.prepare_all(systems, ["train"])
    read = []
    for system in systems:
        entries = Cache(system, "train").current().entries
        cache = Cache(copies.run_of_copies(system, entries), COPIES)
        read.append([log_mel.tobytes() for _, log_mel in records.read(cache.path, cache.current().entries)])
    assert not set(read[0]) & set(read[1])


def test_a_copy_that_cannot_be_made_is_left_out_and_the_others_are_used(recordings, tmp_path, monkeypatch):
    def fails_once(samples, *_, **__):
        if not calls:
            calls.append(1)
            raise DataError("expected a background that can be read.")
        return samples

    calls = []
    monkeypatch.setattr("ganad_tf.audio.augment.changed", fails_once)
    mapping = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(tmp_path / "cache"),
        "augmentation": {"waveform": {"copies": 2, "gain_db": 6.0}},
        "on_bad_clip": "skip",
    }
    config = configuration.from_mapping(mapping, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    run = MachineRun(config, listing, "dev")
    prepare_cache(run, "train")
    entries = Cache(run, "train").current().entries
    assert len(Cache(copies.run_of_copies(run, entries), COPIES).current().entries) == 2 * len(entries) - 1


def test_a_background_without_recordings_is_refused_and_other_files_in_it_do_not_count(recordings, tmp_path):
    (tmp_path / "LICENSE.txt").write_text("not a sound")
    with pytest.raises(ConfigError, match=r"a folder of recordings for `augmentation\.waveform\.background`"):
        run_of(recordings, tmp_path, augmentation={"waveform": {"copies": 1, "background": str(tmp_path)}})
    stereo = np.stack([tone(hz=300), tone(hz=2000)], axis=1)
    write_wav(tmp_path / "hall.wav", stereo)
    settings = WaveformAugmentation(copies=1, background=str(tmp_path), background_snr_db=[0.0, 0.0])
    for seed in range(5):
        rng, files = np.random.default_rng(seed), waveforms.background_files(str(tmp_path))
        added = waveforms.changed(tone(), settings, Audio(channel=1), rng, backgrounds=files) - tone()
        assert np.abs(np.fft.rfft(added)).argmax() == pytest.approx(2000, abs=2)


@pytest.mark.slow
def test_the_effect_of_augmentation_is_measured(tmp_path):
    """Made-up log-mels, in which a band is louder where something is wrong."""
    names = [f"normal_id_01_{number:08d}" for number in [*range(8), *range(250, 254)]]
    names += [f"anomaly_id_01_{number:08d}" for number in range(4)]
    log_mels = np.random.default_rng(0).normal(-50, 3, [len(names), 20, 128])
    log_mels[-4:, :, 40] += 10
    np.savez(tmp_path / "few.npz", names=names, logmel_db=log_mels)
    words = [ROOT / "tools" / "augmentation.py", "out", "--npz", "few.npz", "--kinds", "gain_db: 3", "--size", "6"]
    words += ["--draws", "1", "--set", "fit.epochs=1", "fit.min_steps=0", "ensemble.members.ganomaly.model.hidden=[8]"]
    command = [sys.executable, *map(str, words)]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in first.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["none", "1"], ["gain_db: 3", "1"]]
    assert float(rows[1][3]) == pytest.approx(float(rows[1][2]) - float(rows[0][2]), abs=0.11)


@pytest.mark.slow
def test_the_effect_of_augmented_waveforms_is_measured_on_synthetic_machines(tmp_path):
    words = [ROOT / "tools" / "augmentation.py", "out", "--machines", "valve", "--kinds", "background", "--size", "4"]
    words += ["--set", "fit.min_steps=0", "ensemble.members.ganomaly.fit.epochs=1", "dataset.synthetic.seconds=1"]
    words += ["dataset.synthetic.n_normal=2", "dataset.synthetic.n_anomaly=2", "scorer={density: mahalanobis}"]
    words += ["ensemble.members.ganomaly.model={name: SpectrumDensity}", "machines={}"]
    done = subprocess.run([sys.executable, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, check=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["none", "1"], ["background", "1"]]
    assert len(list(tmp_path.glob("out/cache/dev/valve/augmented-*"))) == 1


def test_the_interval_of_augmentation_is_student_s(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = importlib.import_module("augmentation")
    rows = [{"kind": "none", "draw": draw, "seed": 0, "GANomaly": 90.0} for draw in range(3)]
    rows += [{"kind": "mixup: 0.2", "draw": draw, "seed": 0, "GANomaly": 90.0 + draw} for draw in range(3)]
    # The t distribution of 2 degrees of freedom has its quantile of 97.5 % at 4.303; 4.303 / sqrt(3) = 2.48.
    assert tool.table(rows).splitlines()[-1] == "| mixup: 0.2 | 3 | 91.0 | +1.0 [-1.5, +3.5] |"
