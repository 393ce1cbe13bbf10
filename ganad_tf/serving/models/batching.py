"""Batching: requests that wait at the same time share one call of the model.

No request waits for others to arrive: a free worker takes the oldest request and the queued ones that fit the same
call. A bad request can't spoil another client's answer: a refused call is repeated with each half of its requests.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ganad_tf.serving.models import bad_clip

Arrays = dict[str, np.ndarray]
Model = Callable[[str, Mapping[str, np.ndarray]], Arrays]  # signature and inputs → outputs, such as an Artifact


@dataclass
class Request:
    """Inputs `[clips, ...]` for one signature of one model; `future` receives the outputs."""

    model: Model
    signature: str
    inputs: Arrays
    future: "Future[Arrays]" = field(default_factory=Future)

    @property
    def n_clips(self) -> int:
        """Number of clips."""
        return max((len(values) for values in self.inputs.values() if values.ndim), default=0)

    def fits(self, other: "Request") -> bool:
        """Whether one call can score both requests."""
        return (
            (self.model, self.signature) == (other.model, other.signature)
            and self.inputs.keys() == other.inputs.keys()
            and all(values.shape[1:] == other.inputs[name].shape[1:] for name, values in self.inputs.items())
        )


class Batcher:
    """Worker threads that score queued requests in batches.

    Args:
      n_workers: Number of concurrent calls.
      largest: Maximum number of clips per call; a single request may hold more.
      observe: Called with the number of clips of each call.
    """

    def __init__(self, n_workers: int = 2, largest: int = 32, observe: Callable[[int], None] | None = None) -> None:
        self._largest = largest
        self._observe = observe
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._is_open = True
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(n_workers)]
        for worker in self._workers:
            worker.start()

    def submit(self, request: Request) -> "Future[Arrays]":
        """Queues a request; the future receives its outputs or an InputError."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Scores the queued requests, then ends the workers."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while group := self._next_group():
            if self._observe:
                self._observe(sum(request.n_clips for request in group))
            _answer(group)
            group.clear()  # an idle worker must hold no clips

    def _next_group(self) -> list[Request]:
        """Oldest request and all that fit its call; empty once the batcher is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._is_open)
            group: list[Request] = []
            remaining: deque[Request] = deque()
            n_clips = 0
            for request in self._waiting:
                if group and (n_clips + request.n_clips > self._largest or not request.fits(group[0])):
                    remaining.append(request)
                else:
                    group.append(request)
                    n_clips += request.n_clips
            self._waiting = remaining
            return group


def _answer(group: list[Request]) -> None:
    """Sets the future of every request of a group that has not been cancelled."""
    waiting = [request for request in group if request.future.set_running_or_notify_cancel()]
    if waiting:
        _answer_running(waiting)


def _answer_running(group: list[Request]) -> None:
    first = group[0]
    try:
        if len(group) == 1:
            first.future.set_result(bad_clip.call(first.model, first.signature, first.inputs))
            return
        inputs = {name: np.concatenate([request.inputs[name] for request in group]) for name in first.inputs}
        outputs = first.model(first.signature, inputs)
        ends = np.cumsum([request.n_clips for request in group])
        parts = {name: np.split(values, ends[:-1]) for name, values in outputs.items()}
        answers = [{name: part[number] for name, part in parts.items()} for number in range(len(group))]
    except Exception as error:  # the worker must survive; the waiting client gets the error
        if len(group) == 1:
            first.future.set_exception(error)
        else:  # find the bad request by halving
            _answer_running(group[: len(group) // 2])
            _answer_running(group[len(group) // 2 :])
    else:
        for request, answer in zip(group, answers, strict=True):
            request.future.set_result(answer)
