"""A real S3-compatible server on loopback, with faults on demand between it and its clients."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "plant"  # all servers of a process have the same objects, so that other files of tests have other buckets
Fault = Callable[[WSGIEnvironment], str]


class Faulty:
    """The server's application, and what goes wrong before or after it.

    Attributes:
      fault: Names the fault of a request: a status such as `503 Slow Down`, `hang`, `break` (half of the answer),
        `lost` (the request is done, its answer lost) or none, an empty text.
      requests: Methods and paths of the requests so far.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self.fault: Fault = lambda _: ""
        self.requests: list[str] = []

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}")
        fault = self.fault(environ)
        if fault[:1].isdigit():
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(fault, [("Content-Type", "application/xml")])
            code = b"AccessDenied" if fault.startswith("403") else b"InternalError"
            yield b"<Error><Code>" + code + b"</Code><Message>at fault</Message></Error>"
            return
        if fault == "hang":
            time.sleep(1.5)
        answer = b"".join(self._application(environ, start))
        if fault in ("lost", "break"):
            if fault == "break":
                yield answer[: len(answer) // 2]
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionError("the connection breaks")
        yield answer


@contextmanager
def object_store(host: str = "127.0.0.1") -> Iterator[tuple[Faulty, dict[str, str]]]:
    """A server at an address of this machine; its application, and the environment by which clients find it."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server(host, 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield (
        application,
        {
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{server.server_port}",
        },
    )
    server.shutdown()
