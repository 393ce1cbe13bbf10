"""Limits of `ganad serve` on requests and connections; each is a command-line option."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one client from exhausting what all clients share.

    Attributes:
      body_mb: Maximum size of a request body, both as sent and inflated, in 10^6 bytes.
      answer_mb: Maximum size of all answers that clients have not read yet, in 10^6 bytes.
      queue: Maximum number of requests that are waiting or being processed.
      batch: Maximum number of clips in one call of a model.
      clips: Maximum number of clips in one request.
      clip_seconds: Maximum length of a clip.
      connections: Maximum number of open connections; fewer if the process may open fewer files.
      head_kb: Maximum size of a request's head, in 10^3 bytes.
      head_seconds: Timeout for a request's head, and for idle connections.
      body_seconds: Timeout for a request's body.
      answer_seconds: Timeout for a client to read its answer.
      drain_seconds: Time for accepted requests to finish after SIGTERM.
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
        """Maximum size of a request body."""
        return int(self.body_mb * 1e6)

    @property
    def answer_bytes(self) -> int:
        """Maximum size of all unread answers."""
        return int(self.answer_mb * 1e6)

    @property
    def head_bytes(self) -> int:
        """Maximum size of a request's head."""
        return int(self.head_kb * 1e3)
