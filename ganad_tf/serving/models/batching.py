"""Requests that wait at the same moment are answered by one call of the model.

Nothing waits for others to come: a free worker takes the oldest request and those behind it that fit into
the same call. What one client sends can't spoil another's answer: a call that is refused is made again
for each half of its requests.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ganad_tf.serving.models import bad_clip

Arrays = dict[str, np.ndarray]
Model = Callable[[str, Mapping[str, np.ndarray]], Arrays]  # signature and inputs → outputs, as an Artifact


@dataclass
class Request:
    """Clips to be scored by one signature of one model, `[clips, ...]` each input; `future` is the answer."""

    model: Model
    signature: str
    inputs: Arrays
    future: "Future[Arrays]" = field(default_factory=Future)

    @property
    def n_clips(self) -> int:
        """Clips in it."""
        return max((len(values) for values in self.inputs.values() if values.ndim), default=0)

    def fits(self, other: "Request") -> bool:
        """Whether one call can answer both."""
        return (
            (self.model, self.signature) == (other.model, other.signature)
            and self.inputs.keys() == other.inputs.keys()
            and all(values.shape[1:] == other.inputs[name].shape[1:] for name, values in self.inputs.items())
        )


class Batcher:
    """Workers that answer requests, several at a time.

    Args:
      n_workers: Calls that are made at the same time.
      largest: Clips in one call, but for requests that have more by themselves.
      observe: Told the number of clips of each call.
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
        """Queues a request; the future has its outputs, or the InputError that says what is wrong with it."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Answers what is waiting, then ends the workers."""
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
            group.clear()  # a worker that waits holds no clips

    def _next_group(self) -> list[Request]:
        """The oldest request and what can go with it; empty when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._is_open)
            group: list[Request] = []
            left: deque[Request] = deque()
            n_clips = 0
            for request in self._waiting:
                if group and (n_clips + request.n_clips > self._largest or not request.fits(group[0])):
                    left.append(request)
                else:
                    group.append(request)
                    n_clips += request.n_clips
            self._waiting = left
            return group


def _answer(group: list[Request]) -> None:
    """Answers every request of a group, whatever happens."""
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
    except Exception as error:  # the worker lives on, and whoever waits hears of it
        if len(group) == 1:
            first.future.set_exception(error)
        else:  # half of them may be fine
            _answer_running(group[: len(group) // 2])
            _answer_running(group[len(group) // 2 :])
    else:
        for request, answer in zip(group, answers, strict=True):
            request.future.set_result(answer)
