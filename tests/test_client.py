"""The client over real sockets: who is asked, what is sent, how often, and what is never shown."""

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import tone, write_wav

from ganad_tf.cli import arguments
from ganad_tf.errors import DataError, InputError
from ganad_tf.serving.predict import http_client

PATH = "/v1/models/demo"
OUTPUTS = {"anomaly_score": [1.5], "is_anomaly": [False], "threshold": [2.0]}
GOOD = (200, {}, {"outputs": OUTPUTS})
BUSY = (503, {"Retry-After": "1"}, {"error": "too many requests."})
Answer = tuple[int, dict[str, str], dict]


class Server:
    """Answers in turn what it is told to, the last one for ever; keeps what it was asked."""

    def __init__(self, *answers: Answer, host: str = "127.0.0.1") -> None:
        self.asked: list[tuple[str, Message, bytes]] = []
        left, asked = list(answers), self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, self.headers, body))
                status, headers, value = left.pop(0) if len(left) > 1 else left[0]
                content = json.dumps(value).encode()
                self.send_response(status)
                for name, text in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = True
            address_family = 10 if ":" in host else 2

        self.server = Listening((host, 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def sent(self) -> list[Message]:
        """The headers of each request."""
        return [headers for _, headers, _ in self.asked]


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., Server]]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    servers: list[Server] = []

    def start(*answers: Answer, host: str = "127.0.0.1") -> Server:
        servers.append(Server(*answers, host=host))
        return servers[-1]

    yield start
    for server in servers:
        server.server.shutdown()
        server.server.server_close()


INPUTS = {"waveform": np.array([[0.5, 0.25]], np.float32)}


def ask(url: str, **options: object) -> object:
    return http_client.connect(url, **options)("score_waveform", INPUTS)


def test_arrays_go_out_and_lists_come_back(serve):
    server = serve(GOOD)
    connected = http_client.connect(f"http://127.0.0.1:{server.port}{PATH}/versions/3")
    assert connected("score_waveform", INPUTS) == OUTPUTS
    connected("score_wav", {"wav_bytes": np.array([b"a\0", None], dtype=object)[:1]})
    assert [(path, json.loads(body)) for path, _, body in server.asked] == [
        (
            "/v1/models/demo/versions/3:predict",
            {"signature_name": "score_waveform", "inputs": {"waveform": [[0.5, 0.25]]}},
        ),
        (
            "/v1/models/demo/versions/3:predict",
            {"signature_name": "score_wav", "inputs": {"wav_bytes": [{"b64": "YQA="}]}},
        ),
    ]


def test_a_user_in_the_url_is_sent_as_basic_authorization(serve):
    server = serve(GOOD)
    ask(f"http://me:s%40c%3Are%C3%B6t@127.0.0.1:{server.port}{PATH}")
    assert server.sent[0]["Authorization"] == "Basic " + base64.b64encode("me:s@c:reöt".encode()).decode()
    assert server.sent[0]["Host"] == f"127.0.0.1:{server.port}"


def test_headers_are_sent_with_every_request(serve):
    server = serve(GOOD)
    ask(f"http://localhost:{server.port}{PATH}", headers=["Authorization: Bearer a:b", "X-Scope-OrgID:7"])
    assert (server.sent[0]["Authorization"], server.sent[0]["X-Scope-OrgID"]) == ("Bearer a:b", "7")


@pytest.mark.parametrize(
    "header", ["secret", "Na me: secret", ": secret", "A: secret\r\nB: c", "A: sécret", "A: secret\0"]
)
def test_a_header_that_is_none_is_refused_without_its_value(header):
    with pytest.raises(InputError, match="--header: expected 'NAME: VALUE'") as caught:
        ask(f"http://127.0.0.1:9{PATH}", headers=[header])
    assert "secret" not in str(caught.value)


def test_a_user_and_a_header_are_not_both_taken():
    with pytest.raises(InputError, match="not both"):
        ask(f"http://me:pw@127.0.0.1:9{PATH}", headers=["authorization: Bearer x"])


def test_a_password_is_never_shown(serve, ganad, tmp_path):
    write_wav(tmp_path / "a.wav", tone())
    server = serve((500, {}, {"error": "no"}))
    for url in (
        f"http://me:secret@127.0.0.1:{server.port}{PATH}",
        f"http://me:secret@127.0.0.1:9{PATH}",
        "http://me:secret@127.0.0.1/nothing",
        "http://me:secret@127.0.0.1:x/v1/models/demo",
        "http://me:secret@[::1/v1/models/demo",
    ):
        done = ganad("predict", url, "a.wav", "--csv", cwd=tmp_path, check=2)
        assert "127.0.0.1" in done.stderr or "[::1" in done.stderr
        assert "secret" not in done.stderr + done.stdout
    words = ["predict", "https://me:secret@h/x", "a@b.wav", "--header=Authorization: secret", "--head", "A: secret"]
    shown = ["predict", "https://...@h/x", "a@b.wav", "--header=Authorization: ...", "--head", "A: ..."]
    assert arguments.without_secrets(words) == shown


def test_an_interrupted_command_does_not_show_a_password(tmp_path):
    write_wav(tmp_path / "a.wav", tone())
    code = (
        "import sys; from ganad_tf.cli import main\n"
        "def stop(_): raise KeyboardInterrupt\n"
        "main.VERBS['predict'] = stop\n"
        "sys.exit(main.main(['predict', 'http://me:secret@127.0.0.1/v1/models/a', 'a.wav', '--header', 'A: secret']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 130
    assert "ganad predict" in done.stderr
    assert "secret" not in done.stderr


def test_a_busy_server_is_asked_again_when_it_says(serve):
    begin = time.monotonic()
    server = serve(BUSY, (429, {"Retry-After": "1"}, {}), GOOD)
    assert ask(f"http://127.0.0.1:{server.port}{PATH}") == OUTPUTS
    assert len(server.asked) == 3
    assert time.monotonic() - begin >= 2
    assert len({body for _, _, body in server.asked}) == 1


def test_a_server_that_stays_busy_is_asked_a_few_times(serve, monkeypatch):
    monkeypatch.setattr(http_client, "LONGEST_WAIT", 0)  # seconds, whatever Retry-After says
    server = serve((503, {"Retry-After": "86400"}, {"error": "too many requests."}))
    with pytest.raises(DataError, match=r"answered 503: too many requests\."):
        ask(f"http://127.0.0.1:{server.port}{PATH}")
    assert len(server.asked) == 1 + http_client.RETRIES_IF_BUSY


def test_other_refusals_and_a_server_that_is_not_there_are_told_at_once(serve):
    server = serve((400, {}, {"error": "waveform: too short,\nalas."}))
    with pytest.raises(DataError, match=r"/v1/models/demo answered 400: waveform: too short, alas\.$"):
        ask(f"http://127.0.0.1:{server.port}{PATH}")
    assert len(server.asked) == 1
    begin = time.monotonic()
    with pytest.raises(DataError, match=r"no answer from http://127.0.0.1:9/v1/models/demo: .*refused\.$"):
        ask(f"http://127.0.0.1:9{PATH}")
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("value", [{}, [], {"outputs": [1.5]}, {"predictions": [1]}])
def test_an_answer_of_something_else_is_refused(serve, value):
    server = serve((200, {}, value))
    with pytest.raises(DataError, match="127.0.0.1:.*: expected"):
        ask(f"http://127.0.0.1:{server.port}{PATH}")


def test_what_the_user_gave_does_not_go_to_another_host_with_a_redirect(serve):
    other = serve(GOOD)
    first = serve((307, {"Location": f"http://localhost:{other.port}/elsewhere"}, {}))
    options = {"headers": ["X-Api-Key: secret"]}
    assert ask(f"http://me:pw@127.0.0.1:{first.port}{PATH}", **options) == OUTPUTS
    for name in ("Authorization", "X-Api-Key"):
        assert (name in first.sent[0], name in other.sent[0]) == (True, False)
    same = serve((307, {"Location": f"{PATH}:predict"}, {}), GOOD)
    ask(f"http://me:pw@127.0.0.1:{same.port}{PATH}", **options)
    assert same.sent[1]["Authorization"]


def test_a_circle_of_redirects_ends(serve):
    server = serve((307, {"Location": f"{PATH}:predict"}, {}))
    with pytest.raises(DataError, match="redirects"):
        ask(f"http://127.0.0.1:{server.port}{PATH}")


def test_this_machines_own_addresses_are_not_asked_through_a_proxy(serve, monkeypatch):
    server, proxy = serve(GOOD), serve(GOOD)
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://me:pw@127.0.0.1:{proxy.port}")
    for host in ("127.0.0.1", "localhost"):
        ask(f"http://{host}:{server.port}{PATH}")
    assert (len(server.asked), len(proxy.asked)) == (2, 0)
    ask("http://model.invalid:8501/v1/models/demo")
    ask("http://model.invalid:8501/v1/models/demo", headers=["Authorization: Bearer a"])
    assert [path for path, *_ in proxy.asked] == ["http://model.invalid:8501/v1/models/demo:predict"] * 2
    assert proxy.sent[0]["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:pw").decode()
    assert "Authorization" not in proxy.sent[0]
    monkeypatch.setenv("no_proxy", "model.invalid")
    with pytest.raises(DataError, match="no answer from http://model.invalid"):
        ask("http://model.invalid:8501/v1/models/demo")
    assert len(proxy.asked) == 2


@pytest.mark.usefixtures("serve")
def test_a_proxy_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")
    with pytest.raises(InputError, match="http_proxy: expected the URL of a proxy"):
        ask("http://model.invalid:8501/v1/models/demo")


def test_ipv6(serve):
    server = serve(GOOD, host="::1")
    assert ask(f"http://[::1]:{server.port}{PATH}") == OUTPUTS
    assert server.sent[0]["Host"] == f"[::1]:{server.port}"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8501/demo",
        "http:///v1/models/demo",
        "http://127.0.0.1:0/v1/models/demo",
        "http://127.0.0.1:99999/v1/models/demo",
        "http://127.0.0.1/v1/models/a b",
        "http://127.0.0.1/v1/models/a\r\nb",
        "http://127.0.0.1/v1/models/a?b=c",
        "http://[::1/v1/models/demo",
    ],
)
def test_a_url_that_names_no_model_is_refused(url):
    with pytest.raises(InputError, match=r"^Expected the URL of a model, http://HOST:PORT/v1/models/NAME\."):
        ask(url)


@contextmanager
def tls(server: Server, certificate: tuple[str, str]) -> Iterator[None]:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.server.socket = context.wrap_socket(server.server.socket, server_side=True)
    yield


def test_a_server_with_a_certificate_of_its_own(serve, tmp_path):
    names = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", names[0], "-keyout", names[1]]
    subprocess.run(command, check=True, capture_output=True)
    server = serve(GOOD)
    with tls(server, (names[0], names[1])):
        url = f"https://127.0.0.1:{server.port}{PATH}"
        assert ask(url, ca_cert=tmp_path / "cert.pem") == OUTPUTS
        with pytest.raises(DataError, match="no answer from https://.*certificate"):
            ask(url)
    with pytest.raises(InputError, match="--ca-cert: expected a file of certificates"):
        ask(url, ca_cert=tmp_path / "missing.pem")


def test_headers_need_a_url(ganad, tmp_path):
    done = ganad("predict", "exported_models/demo", "a.wav", "--header", "A: b", cwd=tmp_path, check=2)
    assert "Expected the URL of a model with --header and --ca-cert" in done.stderr
