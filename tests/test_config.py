import dataclasses
import typing

import pytest
from conftest import ROOT

from ganad_tf import config as configuration
from ganad_tf.config import yaml_text
from ganad_tf.config.paths import Location
from ganad_tf.config.sections import Audio, Model
from ganad_tf.errors import ConfigError

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


@pytest.mark.parametrize(
    ("text", "value"),
    [  # YAML 1.2's core schema: no octal numbers but 0o17, no numbers in base 60, no underscores, no dates
        ("0512", 512),
        ("-010", -10),
        ("0o17", 15),
        ("0x1F", 31),
        ("2e-4", 0.0002),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5E-3", -0.0005),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("2026-11-01", "2026-11-01"),
        ("'0512'", "0512"),
        ("=", "="),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ("~", None),
        ("!!int 0512", 512),
    ],
)
def test_nothing_means_another_number_than_it_says(text, value):
    for parse in (yaml_text.parse, yaml_text.parse_override):
        read = parse(text, "test")
        assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ["1_000", "1:30", "0b11", "2026-11-01"])
def test_what_other_readers_take_for_a_number_is_refused_as_one(tmp_path, text):
    with pytest.raises(ConfigError, match=rf"expected a whole number for `fit\.epochs`\. Received: '{text}'"):
        load(tmp_path, f"fit: {{epochs: {text}}}")
    with pytest.raises(ConfigError, match=rf"expected a whole number for `fit\.epochs`\. Received: '{text}'"):
        load(tmp_path, "", f"fit.epochs={text}")


def test_an_override_never_ends_in_a_comment(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--set dev_directory without a comment\. Received: '/d/Line #1'; put a value"
    ):
        load(tmp_path, "", "dev_directory=/d/Line #1")
    assert load(tmp_path, "", "dev_directory='/d/Line #1'").dev_directory == "/d/Line #1"
    assert load(tmp_path, "", "dev_directory=/d/Line#1").dev_directory == "/d/Line#1"


PATHS = [
    *(f"{name}_directory" for name in ("dev", "eval", "cache", "model", "result", "export")),
    "tensorboard.directory",
]


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("~/x", "/home/me/x"),
        ("~", "/home/me"),
        ("$DATA/x", "/data/november/x"),
        ("a/${DATA}/x", "a//data/november/x"),
        ("${TILDE}", "/home/me/y"),
        ("./a/../b//c/", "./a/../b//c/"),  # no path is otherwise than it was written
        ("./~/x", "./~/x"),
        ("cost$", "cost$"),
    ],
)
def test_paths_are_what_a_shell_makes_of_them(tmp_path, monkeypatch, key, written, meant):
    for name, value in {"HOME": "/home/me", "DATA": "/data/november", "TILDE": "~/y"}.items():
        monkeypatch.setenv(name, value)
    section, _, name = key.rpartition(".")
    text = f"{section}: {{{name}: '{written}'}}" if section else f"{key}: '{written}'"
    for config in (load(tmp_path, text), load(tmp_path, "", f"{key}='{written}'")):
        config = config.for_machine("fan")  # which reads it once more
        assert getattr(getattr(config, section) if section else config, name) == meant
        assert configuration.to_dict(config)[section or key] in (meant, {"directory": meant, "clips": 3, "every": 50})


def test_the_members_of_an_ensemble_are_paths_too(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert load(tmp_path, "ensemble: {members: [~/a, $HOME/b, c]}").ensemble.members == [
        "/home/me/a",
        "/home/me/b",
        "c",
    ]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("$GANAD_NOT_SET/x", "the environment variable `GANAD_NOT_SET` is not set"),
        ("${GANAD_NOT_SET}/x", "the environment variable `GANAD_NOT_SET` is not set"),
        ("$EMPTY/x", "the environment variable `EMPTY` is not set"),  # or `/x` would be written
        ("${HOME", "which has variables again"),
        ("$AGAIN/x", "which has variables again"),
        ("~nobody-of-this-name/x", "there is no home folder of that user"),
    ],
)
def test_a_path_that_can_t_be_expanded_is_refused(tmp_path, monkeypatch, written, message):
    for name, value in {"HOME": "/home/me", "EMPTY": "", "AGAIN": "$HOME"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"experiment\.yaml: expected a path for `dev_directory`, but .*{message}"):
        load(tmp_path, f"dev_directory: '{written}'")


def test_every_setting_that_is_a_path_says_so():
    hints = typing.get_type_hints(configuration.Config, include_extras=True)
    directories = {name for name in hints if name.endswith(("_directory", "_file"))}
    assert {name for name in directories if hints[name] == Location} == directories


def test_a_configuration_survives_being_written_down(tmp_path):
    config = load(tmp_path, OFFICIAL, "model.name=GANomaly", "model.latent=16", "audio.channel=mean")
    assert configuration.from_mapping(configuration.to_dict(config), source="again") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fit: {epoch: 3}", r"experiment\.yaml: unknown key `fit\.epoch`; did you mean `epochs`\?"),
        ("featur: {}", r"unknown key `featur`; did you mean `feature`\?"),
        ("zzz: 1", r"unknown key `zzz`\. Known: audio, augmentation, cache, cache_directory"),
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
        ("audio: {channel: left}", r"expected a whole number or mean or all for `audio\.channel`"),
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
        ("result_file: ''", r"expected a path for `result_file`, but it is empty"),
        ("dev_directory: ''", r"expected a path for `dev_directory`, but it is empty"),
        ("model_directory: ./cache", r"expected different `cache_directory` and `model_directory`"),
        (
            "feature: {yes: 1, true: 2}",
            r"expected texts as keys under `feature`. Received: True; a text that YAML takes",
        ),
        ("seed: 2020-99-99", r"expected a whole number for `seed`. Received: '2020-99-99'"),
        ("seed: !!int many", r"Expected YAML in .*experiment\.yaml"),
        ("model: {hidden: &a [*a]}", "expected at most 20 sections and lists within one another under `model.hidden`"),
        ("model: " + 2000 * "[", "too many brackets within one another"),
        ("model: {w_adv: .nan}", r"expected a number for `model.w_adv`. Received: nan"),
        ("model: {w_adv: 1e999}", r"expected a number for `model.w_adv`. Received: inf"),
        ("model: {hidden: !!set {8}}", r"expected a text, a number, a list or a section for `model.hidden`"),
        ("dev_directory: no", r"expected a text for `dev_directory`. Received: False; a text that YAML takes for"),
        ("dev_directory: ~", r"expected a text for `dev_directory`. Received: None; a text that YAML takes for"),
        ("ensemble: {members: a}", r"expected a list of texts or sections with keys for `ensemble.members`"),
        ("ensemble: {members: [a, 1]}", r"a text or a section with keys for `ensemble.members`. Received: 1"),
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


def test_an_empty_section_of_a_machine_type_changes_nothing(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(
        "ensemble: {members: [{name: a, model: {name: DenseAE}}, {name: b, model: {name: SpectrumDensity}}]}\n"
        "scorer: {name: density}\nmachines: {fan: {ensemble: , scorer: }}\n"
    )
    config = configuration.load(path).for_machine("fan")
    assert config.ensemble.labels() == ["a", "b"]
    assert config.scorer.name == "density"


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
        ("machines: {1: {fit: {epochs: 3}}}", r"expected texts as keys under `machines`. Received: 1; .* in quotes"),
        (
            "machines: {no: {fit: {epochs: 3}}}",
            r"expected texts as keys under `machines`. Received: False; .* in quotes",
        ),
        ("machines: {~: {fit: {epochs: 3}}}", r"expected texts as keys under `machines`. Received: None; .* in quotes"),
        ("machines: {00: {fit: {epochs: 3}}}", r"expected texts as keys under `machines`. Received: 0; .* in quotes"),
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
