"""How much `ganad serve` takes, of requests and of connections; each is an option of the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one client from taking what all clients need.

    Attributes:
      body_mb: Largest body of a request, as sent and inflated, in 10^6 bytes.
      answer_mb: Answers that have been made but not been read yet, together, in 10^6 bytes.
      queue: Requests that are worked on or wait at the same time.
      batch: Clips in one call of a model.
      clips: Clips in one request.
      clip_seconds: Longest clip.
      connections: Open at the same time; fewer where the system gives fewer file descriptors.
      head_kb: Largest head of a request, in 10^3 bytes.
      head_seconds: Time for a head, and for which an idle connection stays open.
      body_seconds: Time for a body.
      answer_seconds: Time in which a client has to read its answer.
      drain_seconds: Time that accepted requests get to end after SIGTERM.
    """

    body_mb: float = 100
    answer_mb: float = 200
    queue: int = 64
    batch: int = 32
    clips: int = 256
    clip_seconds: float = 600
    connections: int = 1000
    head_kb: float = 64
    head_seconds: float = 10
    body_seconds: float = 60
    answer_seconds: float = 30
    drain_seconds: float = 30

    @property
    def body_bytes(self) -> int:
        """Largest body."""
        return int(self.body_mb * 1e6)

    @property
    def answer_bytes(self) -> int:
        """Unread answers, together."""
        return int(self.answer_mb * 1e6)

    @property
    def head_bytes(self) -> int:
        """Largest head."""
        return int(self.head_kb * 1e3)
