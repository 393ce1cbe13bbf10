"""Lower bounds of time on this machine: the arithmetic of a step, or of a clip, alone. See benchmark.py."""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

DENSE_AE = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
BATCH = 512
STEPS = 7
FRAMES, N_FFT = 313, 1024  # of a clip of 10 s
REPETITIONS = 20


def products(side: str, _: Path) -> float:
    """A step's matrix products, forward and backward, without what lies between: `numpy` or `compiled`. Seconds."""
    return _numpy_products() if side == "numpy" else _compiled_products()


def fft(_: str, __: Path) -> float:
    """The real FFTs of a clip, float64, on one core. Seconds."""
    frames = np.random.default_rng(0).normal(size=[FRAMES, N_FFT])
    return warm_seconds(lambda: np.fft.rfft(frames))


def _numpy_products() -> float:
    random = np.random.default_rng(0)
    shapes = list(pairwise(DENSE_AE))
    weights = [random.normal(size=shape).astype("float32") for shape in shapes]
    values = {units: random.normal(size=[BATCH, units]).astype("float32") for units in DENSE_AE}

    def step() -> None:
        for number, ((n_in, n_out), weight) in enumerate(zip(shapes, weights, strict=True)):
            values[n_in] @ weight
            values[n_in].T @ values[n_out]  # the weight's gradient
            if number:
                values[n_out] @ weight.T  # the input's

    return warm_seconds(step)


def _compiled_products() -> float:
    import tensorflow as tf

    weights = [tf.Variable(tf.random.normal(shape) / shape[0] ** 0.5) for shape in pairwise(DENSE_AE)]
    windows = tf.random.normal([BATCH, DENSE_AE[0]])

    def step(number: tf.Tensor) -> tuple[tf.Tensor]:
        with tf.GradientTape() as tape:
            values = windows
            for weight in weights:
                values @= weight
            loss = tf.reduce_mean(tf.square(values - windows))
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(1e-3 * gradient)
        return (number + 1,)

    @tf.function(jit_compile=True)
    def steps() -> tf.Tensor:
        return tf.while_loop(lambda number: number < STEPS, step, (0,))[0]

    return warm_seconds(lambda: steps().numpy()) / STEPS


def warm_seconds(call: Callable[[], object]) -> float:
    """Median duration of a warm call, in seconds."""
    times = []
    for _ in range(REPETITIONS):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[REPETITIONS // 4 :])
