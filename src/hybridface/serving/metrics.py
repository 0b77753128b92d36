"""What the server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        waiting: Returns how many pictures wait or are being read.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, processor time, open files
        self.requests = Counter(
            "hybridface_requests", "Requests answered", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "hybridface_request_seconds", "From a request's headers to the end of its answer",
            ["path"], buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.batches = Histogram(
            "hybridface_batch_pictures", "Pictures that were read together", buckets=PICTURES,
            registry=registry,
        )  # fmt: skip
        self.faces = Counter("hybridface_faces", "Faces that were read", registry=registry)
        held = Gauge(
            "hybridface_waiting_pictures", "Pictures that wait or are being read", registry=registry
        )
        held.set_function(waiting)

    def note_batch(self, pictures: int, faces: int) -> None:
        """Count what was read together."""
        self.batches.observe(pictures)
        self.faces.inc(faces)

    def note_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> tuple[bytes, str]:
        """Return all of them in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
