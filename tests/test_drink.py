"""DRINK: its recurrences by NumPy, what it sees and does not see, and that the order of frames counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.models import DRINK

FRAMES, N_MELS, UNITS = 5, 3, 4
CENTRE = slice(2 * N_MELS, 3 * N_MELS)
WINDOWS = np.random.default_rng(0).normal(size=[6, FRAMES * N_MELS]).astype(np.float32)


def make(**changes):
    """A detector with random weights, none of which is 0."""
    keras.utils.set_random_seed(1)
    detector = DRINK(**{"input_dim": FRAMES * N_MELS, "frames": FRAMES, "units": UNITS, **changes})
    rng = np.random.default_rng(2)
    detector.set_weights([rng.normal(size=weight.shape) for weight in detector.get_weights()])
    detector.compile("adam", "mean_squared_error", run_eagerly=True)
    return detector


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def lstm(frames, kernel, recurrent_kernel, bias):
    """States after each frame, `[time, batch, units]` → the same; gates input, forget, candidate, output."""
    state = memory = np.zeros([frames.shape[1], len(recurrent_kernel)])
    states = []
    for frame in frames:
        gates = np.split(frame @ kernel + state @ recurrent_kernel + bias, 4, axis=1)
        memory = sigmoid(gates[1]) * memory + sigmoid(gates[0]) * np.tanh(gates[2])
        state = sigmoid(gates[3]) * np.tanh(memory)
        states.append(state)
    return np.stack(states)


def gru(frames, kernel, recurrent_kernel, bias):
    """The same for gates update, reset, candidate, with the reset gate after the matrix."""
    state = np.zeros([frames.shape[1], len(recurrent_kernel)])
    states = []
    for frame in frames:
        update, reset, candidate = np.split(frame @ kernel + bias[0], 3, axis=1)
        of_state = np.split(state @ recurrent_kernel + bias[1], 3, axis=1)
        update, reset = sigmoid(update + of_state[0]), sigmoid(reset + of_state[1])
        state = update * state + (1 - update) * np.tanh(candidate + reset * of_state[2])
        states.append(state)
    return np.stack(states)


def predicted(detector, windows, masked=1):
    """The middle of each window by the equations of the docstring, in double precision."""
    recurrence = {"lstm": lstm, "gru": gru}[detector.cell]
    weights = [np.asarray(weight, np.float64) for weight in detector.get_weights()]
    frames = windows.reshape(len(windows), detector.frames, N_MELS).transpose(1, 0, 2).astype(np.float64)
    side = (detector.frames - masked) // 2
    before, after = frames[:side], frames[::-1][:side]  # both towards the middle
    before = recurrence(recurrence(before, *weights[0:3]), *weights[3:6])[-1]
    after = recurrence(recurrence(after, *weights[6:9]), *weights[9:12])[-1]
    return np.concatenate([before, after], axis=1) @ weights[12] + weights[13]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_score_loss_and_reconstruction_are_those_of_the_equations(cell):
    detector = make(cell=cell)
    middle = predicted(detector, WINDOWS)
    errors = (WINDOWS[:, CENTRE] - middle) ** 2
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), errors.mean(axis=1), rtol=1e-4)
    assert detector.evaluate(WINDOWS, return_dict=True, verbose=0)["loss"] == pytest.approx(errors.mean(), rel=1e-4)
    reconstruction = detector(WINDOWS).numpy()
    np.testing.assert_allclose(reconstruction[:, CENTRE], middle, rtol=1e-4, atol=1e-5)
    outside = np.delete(np.arange(FRAMES * N_MELS), CENTRE)
    np.testing.assert_array_equal(reconstruction[:, outside], WINDOWS[:, outside])


def test_several_masked_frames_are_predicted_at_once():
    windows = np.random.default_rng(3).normal(size=[5, 7 * N_MELS]).astype(np.float32)
    detector = make(input_dim=7 * N_MELS, frames=7, masked=3)
    errors = (windows[:, 2 * N_MELS : 5 * N_MELS] - predicted(detector, windows, masked=3)) ** 2
    np.testing.assert_allclose(detector.anomaly_score(windows), errors.mean(axis=1), rtol=1e-4)


@pytest.mark.parametrize(("frames", "masked"), [(5, 1), (9, 1), (6, 2)])
def test_the_masked_frames_are_never_seen_and_all_others_are(frames, masked):
    detector = make(input_dim=frames * N_MELS, frames=frames, masked=masked)
    windows = tf.random.stateless_normal([4, frames * N_MELS], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(windows)
        _, middle = detector.target_and_prediction(windows)
    by_frame = np.abs(tape.gradient(middle, windows)).reshape(4, frames, N_MELS).max(axis=(0, 2))
    side = (frames - masked) // 2
    assert np.all(by_frame[side : side + masked] == 0)
    assert np.all(np.delete(by_frame, np.arange(side, side + masked)) > 0)


def test_a_reversed_window_and_exchanged_sides_give_the_same_prediction():
    detector, mirrored = make(), make()
    weights = detector.get_weights()
    of_states = np.concatenate([weights[12][UNITS:], weights[12][:UNITS]])
    mirrored.set_weights([*weights[6:12], *weights[0:6], of_states, weights[13]])
    reverse = WINDOWS.reshape(-1, FRAMES, N_MELS)[:, ::-1].reshape(WINDOWS.shape)
    np.testing.assert_allclose(mirrored.anomaly_score(reverse), detector.anomaly_score(WINDOWS), rtol=1e-5)
    assert np.all(np.abs(detector.anomaly_score(reverse) - detector.anomaly_score(WINDOWS)) > 1e-3)


def rotations(count, frames):
    """Windows of a point on a circle, which turns by the same unknown angle from frame to frame."""
    rng = np.random.default_rng(4)
    angles = rng.uniform(-np.pi, np.pi, [count, 1]) + rng.uniform(0.3, 1.2, [count, 1]) * np.arange(frames)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)


@pytest.mark.slow
def test_the_order_of_the_frames_counts():
    windows = rotations(2048, 7)
    keras.utils.set_random_seed(1)
    detector = DRINK(input_dim=14, frames=7, units=16)
    detector.compile(keras.optimizers.Adam(0.01), "mean_squared_error")
    detector.fit(windows.reshape(-1, 14), batch_size=64, epochs=8, verbose=0)
    in_order = float(np.mean(detector.anomaly_score(windows.reshape(-1, 14))))
    shuffled = windows[:, [2, 0, 1, 3, 6, 4, 5]].reshape(-1, 14)
    assert in_order < 0.02
    assert np.mean(detector.anomaly_score(shuffled)) > 10 * in_order


def test_parameters_are_those_of_four_lstms_and_a_dense_layer():
    lower, upper = 4 * 64 * (128 + 64 + 1), 4 * 64 * (64 + 64 + 1)
    for frames in (5, 9):
        detector = DRINK(input_dim=128 * frames, frames=frames)
        assert detector.count_params() == 2 * (lower + upper) + 128 * (128 + 1) == 181_376


def test_the_graph_has_no_loops_that_a_converter_would_have_to_know():
    spec = tf.TensorSpec([None, FRAMES * N_MELS], tf.float32)
    graph = tf.function(make().anomaly_score).get_concrete_function(spec).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not [kind for kind in kinds if "While" in kind or "TensorList" in kind or "Cudnn" in kind]


@pytest.mark.parametrize(("frames", "masked"), [(2, 1), (4, 1), (5, 0), (5, 2), (3, 3)])
def test_windows_without_as_many_frames_on_either_side_are_refused(frames, masked):
    with pytest.raises(ValueError, match=f"as many frames before .* Received: frames={frames}, masked={masked}"):
        DRINK(input_dim=12 * frames, frames=frames, masked=masked)


def test_an_unknown_cell_and_a_broken_frame_are_refused():
    with pytest.raises(ValueError, match=r"Expected cell to be one of lstm, gru\. Received: 'rnn'\."):
        DRINK(cell="rnn")
    with pytest.raises(ValueError, match="a multiple of frames. Received: 640 and 9"):
        DRINK(frames=9)
