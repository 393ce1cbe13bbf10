"""Prometheus metrics of the server, in the text format of `GET /metrics`.

Labels are statuses and the names of existing models, versions and signatures only, so that requests for other names
add no series. The series of the least recently used version are dropped once there are more than `MOST_VERSIONS`.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
LATEST_SCORES = 1000  # per version, for the quantiles
MOST_VERSIONS = 500
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CLIPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Models(Protocol):
    """The part of a repository that the metrics read."""

    def names(self) -> list[str]:
        """Names of the usable models."""


class Metrics:
    """Counters, gauges and histograms of one server.

    Args:
      models: Repository of the server.
      queue_length: Returns the number of requests that are waiting or being processed.
    """

    def __init__(self, models: Models, queue_length: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ["model", "version", "signature", "status"]
        self._requests = Counter("ganad_requests", "Answered requests.", labels, registry=self.registry)
        self._seconds = Histogram(
            "ganad_request_seconds",
            "Time from a request's head to its answer.",
            labels[:3],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._rejected = Counter(
            "ganad_rejected", "Requests with an error, by status.", ["status"], registry=self.registry
        )
        self._refused = Counter("ganad_refused_connections", "Connections over the limit.", registry=self.registry)
        self._clips = Counter("ganad_clips", "Scored clips.", labels[:2], registry=self.registry)
        self._alarms = Counter("ganad_alarms", "Clips above the threshold.", labels[:2], registry=self.registry)
        self._batches = Histogram(
            "ganad_batch_clips", "Clips in one call of a model.", buckets=CLIPS, registry=self.registry
        )
        self._scores = _Scores()
        self.registry.register(self._scores)
        for name, text, value in (
            ("ganad_queue_length", "Requests that are worked on or wait.", queue_length),
            ("ganad_models", "Models that can be used.", lambda: len(models.names())),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def request(self, status: int, seconds: float, *, model: str = "", version: str = "", signature: str = "") -> None:
        """Counts an answered request; the labels of unknown names stay empty."""
        self._keep(model, version)
        self._requests.labels(model, version, signature, status).inc()
        if status >= 400:
            self._rejected.labels(status).inc()
        else:
            self._seconds.labels(model, version, signature).observe(seconds)

    def refused_connection(self) -> None:
        """Counts a connection that was refused at the limit."""
        self._refused.inc()

    def batch(self, n_clips: int) -> None:
        """Counts a call of a model with `n_clips` clips."""
        self._batches.observe(n_clips)

    def scored(self, model: str, version: int, outputs: Mapping[str, np.ndarray]) -> None:
        """Counts the scored clips of an answer and the anomalies among them."""
        scores = outputs.get("anomaly_score")
        if scores is None:
            return
        self._keep(model, str(version))
        self._clips.labels(model, version).inc(len(scores))
        self._alarms.labels(model, version).inc(int(np.sum(outputs.get("is_anomaly", False))))
        self._scores.add((model, str(version)), scores)

    def text(self) -> bytes:
        """Metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _keep(self, model: str, version: str) -> None:
        """Marks a version as used; drops the series of the least recently used one above the limit."""
        with self._lock:
            self._known[model, version] = None
            self._known.move_to_end((model, version))
            if len(self._known) <= MOST_VERSIONS:
                return
            (old_model, old_version), _ = self._known.popitem(last=False)
        for meter in (self._requests, self._seconds, self._clips, self._alarms):
            meter.remove_by_labels({"model": old_model, "version": old_version})
        self._scores.forget((old_model, old_version))


class _Scores(Collector):
    """Collector of the quantiles of each version's latest scores."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def add(self, key: tuple[str, str], scores: np.ndarray) -> None:
        with self._lock:
            self._latest.setdefault(key, deque(maxlen=LATEST_SCORES)).extend(scores.tolist())

    def forget(self, key: tuple[str, str]) -> None:
        with self._lock:
            self._latest.pop(key, None)

    def collect(self) -> Iterator[Metric]:
        metric = Metric("ganad_anomaly_score", f"Quantiles of the latest {LATEST_SCORES} scores.", "gauge")
        with self._lock:
            latest = {key: list(scores) for key, scores in self._latest.items()}
        for (model, version), scores in latest.items():
            for quantile, value in zip(QUANTILES, np.quantile(scores, QUANTILES), strict=True):
                labels = {"model": model, "version": version, "quantile": str(quantile)}
                metric.add_sample("ganad_anomaly_score", labels, float(value))
        yield metric
