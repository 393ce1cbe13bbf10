"""Several devices in one training: the losses and weights of one device, written once."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from conftest import ROOT

from ganad_tf.cli import environment
from ganad_tf.config import Config
from ganad_tf.config.sections import Augmentation, Fit, Model, Threshold
from ganad_tf.errors import ConfigError
from ganad_tf.training import distribution

MIRRORED, WORKERS = Fit(distribute="mirrored"), Fit(distribute="multi_worker")
SETTINGS = """
dev_directory: ./data
cache_directory: ./cache
dataset: {name: synthetic, synthetic: {n_ids: 2, n_train: 8, n_normal: 2, n_anomaly: 2, seconds: 2}}
feature: {standardize: true}
model: {name: DenseAE, hidden: [16], latent: 4}
fit: {epochs: 2, batch_size: 64, min_steps: 0, validation_split: 0.2, compile: {learning_rate: 0.001}}
"""

ON_TWO_DEVICES = """
import keras, numpy as np, tensorflow as tf
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
from ganad_tf.config import Config
from ganad_tf.config.sections import Fit, Model
from ganad_tf.models import GANomaly
from ganad_tf.training import distribution

def made():
    keras.utils.set_random_seed(1)
    detector = GANomaly(input_dim=20, hidden=[8], latent=3)
    detector.compile(keras.optimizers.SGD(0.02))
    tf.distribute.get_strategy().run(detector.test_step, args=(tf.zeros([2, 20]),))
    return detector

batches = tf.data.Dataset.from_tensor_slices(tf.random.stateless_normal([96, 20], [1, 2])).batch(16)
devices = distribution.devices_of(Config(model=Model("GANomaly"), fit=Fit(distribute="mirrored")))
assert devices.number == 2
one, two = made(), devices.made(made)
losses = one.fit(batches, epochs=2, shuffle=False, verbose=0, validation_data=batches).history
history = keras.callbacks.History()
devices.fit(two, batches.repeat(), 6, batches, epochs=2, shuffle=False, verbose=0, callbacks=[history])
for name in ("loss", "discriminator_loss", "val_loss"):
    np.testing.assert_allclose(history.history[name], losses[name], rtol=1e-5)
for alone, shared in zip(one.weights, two.weights, strict=True):
    np.testing.assert_allclose(shared.numpy(), alone.numpy(), atol=1e-5)
"""


def free_ports(number):
    """Ports that no program listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"model": Model("EGBAD"), "fit": MIRRORED}, "`model.name: EGBAD`"),
        ({"augmentation": Augmentation(gain_db=3.0), "fit": MIRRORED}, "`augmentation` of windows"),
        ({"threshold": Threshold(method="conformal"), "fit": WORKERS}, "conformal"),
        ({"model_directory": "s3://plant/model", "fit": WORKERS}, "a URL as `model_directory`"),
        ({"fit": WORKERS}, "a process without other workers"),
    ],
)
def test_what_devices_cannot_share_is_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        distribution.check(Config(**settings))


def test_all_that_cannot_be_shared_is_named_at_once():
    config = Config(model=Model("EGBAD"), augmentation=Augmentation(gain_db=3.0), fit=MIRRORED)
    with pytest.raises(ConfigError, match=r"mirrored`. Received: `model.name: EGBAD` .*DenseAE.*, `augmentation`"):
        distribution.check(config)


def test_one_device_is_no_reason_to_stop(caplog):
    assert distribution.devices_of(Config()) is None
    assert not caplog.text
    assert distribution.devices_of(Config(fit=MIRRORED)) is None
    assert "`fit.distribute: mirrored` has no effect: there is one device" in caplog.text


def test_how_a_detector_was_trained_does_not_identify_it():
    assert Config(fit=MIRRORED).training_settings() == Config().training_settings()


@pytest.mark.parametrize(
    "given",
    [
        None,
        "worker 0",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a", "b"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": ["a:1", "b:1"], "task": {"type": "worker", "index": 0}}',
    ],
)
def test_workers_have_to_be_named(monkeypatch, given):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if given is not None:
        monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(ConfigError, match=r"Expected the environment variable TF_CONFIG .* Received: "):
        environment.check_workers()


def test_named_workers_are_counted(monkeypatch):
    named = {"cluster": {"worker": ["a:1", "b:1", "[::1]:2"]}, "task": {"type": "worker", "index": 2}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(named))
    assert environment.check_workers() == 3


def test_every_window_has_one_device_and_all_have_as_many():
    batches = tf.data.Dataset.range(17).batch(8)  # the last batch has one window
    of_devices = [list(distribution.shares(batches, [device], 3).as_numpy_iterator()) for device in range(3)]
    for number, expected in enumerate(([*range(8), 0], [*range(8, 16), 8], [16, 16, 16])):
        shares = [share[number].tolist() for share in of_devices]
        assert sorted(row for share in shares for row in share) == sorted(expected)
        assert {len(share) for share in shares} == {3 if number < 2 else 1}
    both = distribution.shares(batches, [1, 2], 3).as_numpy_iterator()
    assert [share.tolist() for share in both][:2] == [of_devices[1][0].tolist(), of_devices[2][0].tolist()]


@pytest.mark.slow
def test_two_devices_take_the_steps_of_one():
    subprocess.run([sys.executable, "-c", ON_TWO_DEVICES], check=True, cwd=ROOT)


@pytest.mark.slow
def test_two_workers_train_as_one_process_and_one_writes(ganad, tmp_path):
    """Losses within 1 %, as of one process with the same batches; the other worker leaves nothing."""
    Path(tmp_path, "c.yaml").write_text(SETTINGS)
    ganad("prepare", "c.yaml", "--machine", "fan", cwd=tmp_path)
    ganad("train", "c.yaml", "--machine", "fan", "--set", "model_directory=./alone", cwd=tmp_path)
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    command = ("train", "c.yaml", "--machine", "fan", "--set", "fit.distribute=multi_worker", "model_directory=./model")
    scratch = Path(tmp_path, "scratch")
    scratch.mkdir()
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        settings = {**os.environ, "TF_CONFIG": json.dumps(task), "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "ganad_tf", *command],
                cwd=tmp_path,
                env=settings,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    messages = [worker.communicate(timeout=180)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], messages
    alone, shared = (
        json.loads(Path(tmp_path, folder, "dev", "fan", "training.json").read_text())["history"]
        for folder in ("alone", "model")
    )
    assert set(alone) == set(shared)
    for name in ("loss", "val_loss"):
        assert shared[name] == pytest.approx(alone[name], rel=0.01)
    written = [
        sorted(path.relative_to(tmp_path / folder) for path in Path(tmp_path, folder).rglob("*"))
        for folder in ("alone", "model")
    ]
    assert written[0] == written[1]
    assert not list(scratch.iterdir())
    scored = ganad("score", "c.yaml", "--machine", "fan", "--set", "model_directory=./model", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
