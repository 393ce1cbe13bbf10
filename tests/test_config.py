import dataclasses

import pytest
from conftest import ROOT

from ganad_tf import config as configuration
from ganad_tf.errors import ConfigError
from ganad_tf.input_sections import Audio
from ganad_tf.sections import Model

# As the challenge publishes it, comments aside.
OFFICIAL = """\
dev_directory : ./dev_data
eval_directory : ./eval_data
model_directory: ./model
result_directory: ./result
result_file: result.csv

max_fpr : 0.1

feature:
  n_mels: 128
  frames : 5
  n_fft: 1024
  hop_length: 512
  power: 2.0

fit:
  compile:
    optimizer : adam
    loss : mean_squared_error
  epochs : 100
  batch_size : 512
  shuffle : True
  validation_split : 0.1
  verbose : 1
"""


def load(tmp_path, text, *overrides):
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return configuration.load(path, overrides)


@pytest.mark.parametrize(
    ("mapping", "overrides", "names"),
    [
        ({}, [], ("paper", "paper")),
        ({"scorer": {"pooling": "max"}}, [], ("density", "density")),
        ({"machines": {"fan": {"scorer": {"density": "gmm"}}}}, [], ("paper", "density")),
        ({"scorer": {"pooling": "max"}}, ["scorer.name=paper"], ("paper", "paper")),
        ({"machines": {"fan": {"scorer": {"density": "gmm"}}}}, ["scorer.name=paper"], ("paper", "paper")),
    ],
)
def test_who_sets_a_density_means_a_density(mapping, overrides, names):
    config = configuration.from_mapping(mapping, source="test", overrides=overrides)
    assert (config.scorer.name, config.for_machine("fan").scorer.name) == names


def test_the_challenge_s_baseline_yaml_is_the_default(tmp_path):
    assert load(tmp_path, OFFICIAL) == configuration.Config()
    assert configuration.Config().model.name == "DenseAE"


def test_an_empty_file_is_the_baseline(tmp_path):
    assert load(tmp_path, "# nothing\n") == configuration.Config()


def test_overrides_reach_every_depth(tmp_path):
    config = load(
        tmp_path,
        OFFICIAL,
        "fit.compile.learning_rate=2e-4",
        "model.name=GANomaly",
        "model.hidden=[64, 64]",
        "seed=7",
        "feature.log=relative_80db",
    )
    assert config.fit.compile.learning_rate == 2e-4
    assert config.model == Model("GANomaly", {"hidden": [64, 64]})
    assert (config.seed, config.feature.log) == (7, "relative_80db")


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    assert load(tmp_path, "fit: {compile: {learning_rate: 2e-4}}").fit.compile.learning_rate == 0.0002


def test_a_configuration_survives_being_written_down(tmp_path):
    config = load(tmp_path, OFFICIAL, "model.name=GANomaly", "model.latent=16", "audio.channel=mean")
    assert configuration.from_mapping(configuration.to_dict(config), source="again") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fit: {epoch: 3}", r"experiment\.yaml: unknown key `fit\.epoch`; did you mean `epochs`\?"),
        ("featur: {}", r"unknown key `featur`; did you mean `feature`\?"),
        ("zzz: 1", r"unknown key `zzz`\. Known: audio, cache_directory"),
        ("fit: {compile: {momentum: 1}}", r"unknown key `fit\.compile\.momentum`"),
        ("fit: {epochs: many}", r"expected a whole number for `fit\.epochs`\. Received: 'many'"),
        ("fit: {epochs: true}", r"expected a whole number for `fit\.epochs`\. Received: True"),
        ("fit: {epochs: 1.5}", r"expected a whole number for `fit\.epochs`\. Received: 1.5"),
        ("fit: {shuffle: 1}", r"expected true or false for `fit\.shuffle`"),
        ("fit: 3", r"expected a section with keys under `fit`"),
        ("fit: {epochs: 0}", r"expected `fit\.epochs` from 1 to 10000000\. Received: 0"),
        ("fit: {validation_split: 1.0}", r"expected `fit\.validation_split` from 0 to below 1"),
        ("feature: {pad_mode: wrap}", r"expected reflect or constant for `feature\.pad_mode`\. Received: 'wrap'"),
        ("feature: {hop_length: 2048}", r"hop_length=2048, n_fft=1024"),
        ("feature: {n_mels: 600}", r"n_mels=600, n_fft=1024"),
        ("audio: {channel: left}", r"expected a whole number or mean for `audio\.channel`"),
        ("audio: {channel: -1}", r"channel of at least 0"),
        ("on_bad_clip: ignore", r"expected error or skip for `on_bad_clip`"),
        ("threshold: {quantile: 1.0}", r"expected `threshold\.quantile` between 0 and 1"),
        ("max_fpr: 0", r"expected `max_fpr` above 0"),
        ("max_fpr: .nan", r"expected a number for `max_fpr`"),
        ("seed: 4294967296", r"expected a `seed` from 0 to below 2\^32"),
        ("feature: {n_fft: 1023}", r"expected an even `feature.n_fft`"),
        ("feature: {n_fft: 100000000}", r"of at most 65536"),
        ("feature: {power: 100}", r"expected `feature.power` above 0 and at most 4"),
        ("fit: {batch_size: 1000000000000}", r"expected `fit.batch_size` from 1"),
        ("fit: {compile: {learning_rate: -1}}", r"expected a positive `fit.compile.learning_rate`"),
        ("fit: {compile: {beta_1: 2}}", r"expected `fit.compile.beta_1` from 0 to below 1"),
        ("result_file: ''", r"expected a file name without folders"),
        ("model_directory: ./cache", r"expected different `cache_directory` and `model_directory`"),
        ("feature: {yes: 1, true: 2}", r"unknown key `feature.True`"),
        ("seed: 2020-99-99", r"Expected YAML"),
        ("result_file: ../result.csv", "expected a file name without folders"),
        ("- a\n- b", "Expected a YAML file of `key: value` lines"),
        ("a: [", r"Expected YAML in .*experiment\.yaml"),
        ("seed: 1\nseed: 2", "the key `seed` stands here twice"),
        ("a: !!python/object/apply:os.system ['true']", "Expected YAML"),
    ],
)
def test_one_sentence_names_file_key_and_value(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize("override", ["fit.epochs", "=3", "nothing"])
def test_malformed_overrides_are_refused(tmp_path, override):
    with pytest.raises(ConfigError, match="--set key=value"):
        load(tmp_path, OFFICIAL, override)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        configuration.load(tmp_path / "nowhere.yaml")


def test_the_fingerprint_names_what_a_log_mel_depends_on():
    base = configuration.Config()
    same = dataclasses.replace(base, seed=5, feature=dataclasses.replace(base.feature, standardize=True))
    assert same.feature_fingerprint() == base.feature_fingerprint()
    for key, value in {
        "n_mels": 64,
        "n_fft": 2048,
        "hop_length": 256,
        "power": 1.0,
        "pad_mode": "constant",
        "log": "relative_80db",
    }.items():
        other = dataclasses.replace(base, feature=dataclasses.replace(base.feature, **{key: value}))
        assert other.feature_fingerprint() != base.feature_fingerprint(), key
    other_channel = dataclasses.replace(base, audio=Audio(channel=1))
    assert other_channel.feature_fingerprint() != base.feature_fingerprint()


PER_MACHINE = """
model: {name: GANomaly, latent: 8}
fit: {epochs: 10, compile: {beta_1: 0.5}}
machines:
  fan: {model: {latent: 16}, fit: {batch_size: 16, compile: {learning_rate: 1e-3}}}
  pump: {feature: {n_mels: 64}}
"""


def test_a_machine_type_may_have_its_own_settings(tmp_path):
    config = load(tmp_path, PER_MACHINE)
    fan, pump, valve = (config.for_machine(machine) for machine in ("fan", "pump", "valve"))
    assert fan.model == Model("GANomaly", {"latent": 16})
    assert (fan.fit.epochs, fan.fit.batch_size, fan.fit.compile.beta_1, fan.fit.compile.learning_rate) == (
        10,
        16,
        0.5,
        1e-3,
    )
    assert (pump.feature.n_mels, pump.fit, pump.model.arguments) == (64, config.fit, {"latent": 8})
    assert valve == load(tmp_path, PER_MACHINE.partition("machines:")[0])


def test_the_command_line_has_the_last_word(tmp_path):
    config = load(tmp_path, PER_MACHINE, "fit.batch_size=4", "model.latent=2")
    assert config.for_machine("fan").fit.batch_size == config.for_machine("pump").fit.batch_size == 4
    assert config.for_machine("fan").model.arguments["latent"] == 2
    assert config.for_machine("fan").fit.compile.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("machines: {fan: {fit: {epoch: 3}}}", r"machines\.fan: unknown key `fit\.epoch`; did you mean `epochs`"),
        ("machines: {fan: {seed: 3}}", r"unknown key `machines\.fan\.seed`\. Known: audio"),
        ("machines: {fan: 3}", r"expected a section with keys under `machines\.fan`"),
        ("machines: [fan]", r"expected a section with keys for `machines`"),
    ],
)
def test_own_settings_are_as_strict(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "machine", "expected"),
    [  # the paper's Tables 4 and 5: epochs, hidden layers beyond the input block, weights, batch
        ("ganomaly", "fan", (10, 3, (1, 50, 1), 16)),
        ("ganomaly", "pump", (10, 3, (50, 1, 50), 1024)),
        ("ganomaly", "slider", (10, 3, (1, 50, 1), 16)),
        ("ganomaly", "ToyCar", (90, 4, (1, 50, 1), 512)),
        ("ganomaly", "ToyConveyor", (30, 4, (1, 50, 1), 512)),
        ("ganomaly", "valve", (10, 3, (1, 50, 1), 16)),
        ("skip_ganomaly", "fan", (10, 3, (1, 50, 1), 16)),
        ("skip_ganomaly", "pump", (10, 3, (50, 1, 50), 1024)),
        ("skip_ganomaly", "slider", (10, 3, (50, 50, 50), 512)),
        ("skip_ganomaly", "ToyCar", (20, 3, (1, 1, 50), 128)),
        ("skip_ganomaly", "ToyConveyor", (30, 4, (1, 50, 1), 512)),
        ("skip_ganomaly", "valve", (30, 4, (1, 50, 1), 512)),
    ],
)
def test_the_paper_s_rows(name, machine, expected):
    config = configuration.load(ROOT / "yaml" / f"{name}.yaml").for_machine(machine)
    arguments = config.model.arguments
    weights = tuple(arguments[key] for key in ("w_adv", "w_con", "w_enc" if name == "ganomaly" else "w_lat"))
    assert set(arguments["hidden"]) == {128}
    assert (config.fit.epochs, len(arguments["hidden"]) - 1, weights, config.fit.batch_size) == expected
    assert (arguments["latent"], config.fit.compile.learning_rate, config.fit.compile.beta_1) == (8, 2e-4, 0.5)
