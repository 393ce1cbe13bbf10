"""`ganad serve` behind nginx, with the configuration that docs/serving.md names."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from conftest import ROOT
from test_serving import DEMO, FILES, WAV, Server, b64, wait_for
from test_serving_limits import everything, head, series, status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed"),
]
BODY = json.dumps({**WAV, "instances": [b64(FILES[0])]}).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(DEMO, "--queue", "4")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def port(server, tmp_path_factory) -> Iterator[int]:
    """The port at which nginx listens, in front of the server."""
    folder = tmp_path_factory.mktemp("nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    site = (ROOT / "tools/kubernetes/nginx.conf").read_text()
    for ours, theirs in (("127.0.0.1:8501", f"127.0.0.1:{server.port}"), ("listen 8080", f"listen 127.0.0.1:{port}")):
        assert ours in site
        site = site.replace(ours, theirs)
    (folder / "site.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root; " if os.getuid() == 0 else ""  # its workers write below a folder that is this user's
    around = f"{user}pid {folder}/pid; error_log {folder}/error.log; events {{}} daemon off;"
    (folder / "nginx.conf").write_text(f"{around} http {{ access_log off; {temporary} include {folder}/site.conf; }}")
    with subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]) as process:
        try:
            wait_for(lambda: listens(port))
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    """Whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def ask(port: int, content: bytes, client: str = "127.0.0.1") -> bytes:
    """The whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(client, 0)) as connection:
        connection.sendall(content)
        return everything(connection)


def test_a_client_with_many_half_requests_has_its_share_and_others_are_served(server, port):
    request = head(Content_Length=len(BODY), Connection="close") + BODY
    assert status(ask(port, request)) == 200
    with ExitStack() as stack:
        for _ in range(40):
            address = ("127.0.0.1", port)
            slow = stack.enter_context(socket.create_connection(address, timeout=20, source_address=("127.0.0.2", 0)))
            slow.sendall(request[: len(request) // 2])
        assert series(server)["ganad_queue_length"] == 0
        assert status(ask(port, request)) == 200
        assert status(ask(port, request, client="127.0.0.2")) == 503


def test_limits_of_proxy_and_server_agree(port):
    assert status(ask(port, head(Content_Length=10**9, Connection="close"))) == 413
    assert status(ask(port, head("GET", "/metrics", Connection="close"))) == 403
    assert status(ask(port, head("GET", "/v2/health/ready", Connection="close"))) == 200
