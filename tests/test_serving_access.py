"""Who is answered: token, TLS and CORS; and the log in JSON."""

import http.client
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_serving import DEMO, FILES, PREDICT, WAV, Server, b64, wait_for

from ganad_tf.errors import ConfigError
from ganad_tf.serving import access

GOOD = json.dumps({**WAV, "instances": [b64(FILES[0])]})
TOKEN = "correct-horse-battery"
PAGE = "https://panel.example.org"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    files = ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return paths


@pytest.fixture(scope="module")
def server(certificate, tmp_path_factory) -> Iterator[Server]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(f"{TOKEN}\n")
    tls = "--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1])
    log = "--log-format", "json", "--access-log"
    running = Server(DEMO, *tls, *log, "--token-file", str(token), "--cors", PAGE, until=r'https://127.0.0.1:(\d+)"}$')
    yield running
    assert running.stop() == 0


def ask(server: Server, certificate: tuple[Path, Path], method: str, path: str, **headers: str) -> tuple:
    """Status, headers and body of an answer."""
    context = ssl.create_default_context(cafile=str(certificate[0]))
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=context)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, GOOD if method == "POST" else None, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_only_health_is_answered_without_the_token(server, certificate):
    for path in ("/", "/v2/health/live", "/v2/health/ready"):
        assert ask(server, certificate, "GET", path)[0] == 200
    closed = [("GET", path) for path in ("/metrics", "/openapi.json", "/v2", "/v1/models/demo", "/nothing")]
    for method, path in [*closed, ("POST", PREDICT), ("OPTIONS", PREDICT)]:
        for given in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Basic {TOKEN}"}):
            status, headers, body = ask(server, certificate, method, path, **given)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer"), (path, given)
            assert TOKEN not in body.decode()
        status, headers, body = ask(server, certificate, method, path, Authorization=f"Bearer {TOKEN}")
        assert status == {"/nothing": 404}.get(path, 405 if method == "OPTIONS" else 200)


def test_pages_of_the_origin_may_ask_and_others_may_not(server, certificate):
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    status, headers, body = ask(server, certificate, "OPTIONS", PREDICT, Origin=PAGE, **asked)
    assert (status, body, headers["Access-Control-Allow-Origin"]) == (204, b"", PAGE)
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "authorization" in headers["Access-Control-Allow-Headers"].lower()
    status, headers, _ = ask(server, certificate, "OPTIONS", PREDICT, Origin="https://other.example.org", **asked)
    assert (status, headers["Access-Control-Allow-Origin"]) == (401, None)
    for given, expected in ((f"Bearer {TOKEN}", 200), ("Bearer wrong", 401)):  # a page can read refusals too
        status, headers, _ = ask(server, certificate, "POST", PREDICT, Origin=PAGE, Authorization=given)
        assert (status, headers["Access-Control-Allow-Origin"]) == (expected, PAGE)
        assert "Origin" in headers.get_all("Vary")


def test_the_log_is_json_with_a_line_for_each_request(server, certificate):
    ask(server, certificate, "POST", PREDICT, Authorization=f"Bearer {TOKEN}", X="a\tb")
    ask(server, certificate, "GET", "/v1/models/%0anobody", Authorization=f"Bearer {TOKEN}")
    wait_for(lambda: "anobody" in server.lines[-1])
    lines = [json.loads(line) for line in server.lines]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    scored, missing = [line for line in lines if "path" in line][-2:]
    assert (scored["status"], scored["model"], scored["signature"]) == (200, "demo", "score_wav")
    assert (scored["client"], scored["method"], scored["received"]) == ("127.0.0.1", "POST", len(GOOD))
    assert (missing["status"], missing["path"]) == (404, "/v1/models/%0anobody")
    assert "not here" in missing["error"]
    assert TOKEN not in "".join(server.lines)


def test_what_is_no_tls_and_what_stops_in_a_handshake_keeps_nobody(server, certificate):
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=5) for _ in range(20)]
    for connection in connections:
        connection.connect()
    connections[0].request("GET", "/v2")
    with pytest.raises((OSError, http.client.HTTPException)):
        connections[0].getresponse()
    assert ask(server, certificate, "GET", "/v2/health/live")[0] == 200
    for connection in connections:
        connection.close()


def test_files_that_hold_no_token_or_certificate_are_named(tmp_path, certificate):
    file = tmp_path / "file"
    for content in ("", "\n", "two words"):
        file.write_text(content)
        with pytest.raises(ConfigError, match=r"file \(--token-file\)"):
            access.read_token(file)
    with pytest.raises(ConfigError, match="missing.*No such file"):
        access.read_token(tmp_path / "missing")
    not_pem, missing = "they are not in PEM format", "No such file or directory"
    pairs = {(file, None): not_pem, (certificate[0], file): not_pem, (tmp_path / "missing", None): missing}
    for pair, reason in pairs.items():
        with pytest.raises(ConfigError, match=rf"\(--tls-cert, --tls-key\): {reason}"):
            access.tls(*pair)
    with pytest.raises(ConfigError, match="--tls-cert, --tls-key"):
        access.tls(certificate[0], None)
    access.tls(*certificate)


def test_a_page_of_any_origin_may_ask_where_all_may():
    everybody = access.Access(origins=["*"])
    assert everybody.cors_headers("https://a.example") == {"Access-Control-Allow-Origin": "*"}
    assert access.Access().cors_headers("https://a.example") == {}
    assert access.Access().preflight_headers("https://a.example", "POST") is None
