"""Checks of a request's head: size, path, method, token and encodings."""

from dataclasses import dataclass, field

from tornado.httputil import HTTPServerRequest

from ganad_tf.serving.access import Access
from ganad_tf.serving.http.endpoints import Endpoints, Route
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.models.signature import shorten
from ganad_tf.serving.refusals import RefusedError, TooLargeError

MOST_HEADERS = 100


@dataclass(frozen=True)
class Head:
    """An accepted head.

    Attributes:
      route: Route of the request.
      parts: Parts of the path by name.
      is_compressed: Whether the body is gzip-compressed.
    """

    route: Route
    parts: dict[str, str] = field(default_factory=dict)
    is_compressed: bool = False


def read_head(request: HTTPServerRequest, endpoints: Endpoints, access: Access, limits: Limits) -> Head:
    """Checks a head and finds its route.

    Raises:
      RefusedError: If the head is refused; with status 204 for an accepted CORS preflight.
    """
    lines = list(request.headers.get_all())
    size = len(request.uri or "") + sum(len(name) + len(value) + 4 for name, value in lines)
    if len(lines) > MOST_HEADERS or size > limits.head_bytes:
        most = f"{MOST_HEADERS} headers and {limits.head_kb:g} kB"
        raise RefusedError(431, f"the head: expected at most {most}. Received: {len(lines)} and {size / 1e3:.0f}.")
    try:
        route, parts = endpoints.route(str(request.method), request.path)
    except RefusedError as error:
        _check_preflight(request, access, error)
        access.check_token(request.headers.get("Authorization"))
        raise
    if not route.is_open:
        access.check_token(request.headers.get("Authorization"))
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        sentence = f"Content-Encoding: expected gzip, or none. Received: {shorten(encoding)}."
        raise RefusedError(415, sentence, {"Accept-Encoding": "gzip"})
    declared = request.headers.get("Content-Length", "0")
    if declared.isdecimal() and len(declared) < 19:
        check_size(int(declared), limits)
    return Head(route, parts, encoding != "identity")


def check_size(n_bytes: int, limits: Limits) -> None:
    """Refuses a body above the limit.

    Raises:
      TooLargeError: If the body is too large.
    """
    if n_bytes > limits.body_bytes:
        raise TooLargeError(f"the body: expected at most {limits.body_mb:g} MB. Received: {n_bytes / 1e6:.3g} MB.")


def takes_gzip(accepted: str) -> bool:
    """Whether the value of `Accept-Encoding` allows gzip."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _check_preflight(request: HTTPServerRequest, access: Access, error: RefusedError) -> None:
    """Raises the 204 answer to a CORS preflight of an allowed origin."""
    if request.method == "OPTIONS" and error.status == 405:
        headers = access.preflight_headers(request.headers.get("Origin"), error.headers["Allow"])
        if headers is not None:
            raise RefusedError(204, "", dict(headers))
