"""The server under clients that are slow, silent, many or malicious: real sockets on loopback, with lowered limits."""

import gzip
import json
import re
import resource
import signal
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from test_serving import DEMO, FILES, PREDICT, WAV, Server, b64, wait_for

from ganad_tf.errors import InputError
from ganad_tf.serving.http.byte_budget import ByteBudget
from ganad_tf.serving.http.connections import max_connections
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.models.signature import Field, Signature
from ganad_tf.serving.protocols import parsing
from ganad_tf.serving.refusals import BusyError, TooLargeError

GOOD = {**WAV, "instances": [b64(FILES[0])]}
LIMITS = {
    "--queue": 4,
    "--connections": 40,
    "--head-seconds": 1.5,
    "--body-seconds": 3,
    "--answer-seconds": 2,
    "--max-body-mb": 2,
    "--max-answer-mb": 2,
    "--max-clips": 8,
    "--max-clip-seconds": 5,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server(DEMO, *(str(word) for option in LIMITS.items() for word in option), "--access-log")
    yield running
    assert running.process.poll() is None, "".join(running.lines)
    assert running.stop() == 0
    assert "Traceback" not in "".join(running.lines)


def head(method: str = "POST", path: str = PREDICT, **headers: object) -> bytes:
    """The head of a request."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {"Host": "x", **headers}.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A connection that reads for ten seconds at most."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """The bytes that are answered until the server closes."""
    answer = b""
    try:
        while piece := connection.recv(1 << 16):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def exchange(server: Server, content: bytes) -> bytes:
    """Sends bytes; the answer up to the end of the connection, which the request should ask for."""
    with connected(server) as connection:
        connection.sendall(content)
        return everything(connection)


def status(answer: bytes) -> int:
    """The status of the first answer."""
    return int(answer.split(b" ", 2)[1])


def rejected_lines(server: Server, since: int) -> list[str]:
    """Lines of the log that are new."""
    time.sleep(0.2)
    return server.lines[since:]


def memory_mb(server: Server, key: str) -> float:
    """Memory of its process: `VmRSS` now, `VmHWM` at most."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024


def test_connections_that_send_heads_and_no_bodies_do_not_stop_others(server):
    with ExitStack() as stack:
        for _ in range(30):  # the queue has 4 places
            stack.enter_context(connected(server)).sendall(head(Content_Length=100_000))
        begin = time.monotonic()
        assert server.ask("POST", PREDICT, GOOD)[0] == 200
        assert time.monotonic() - begin < 1.4  # none of them has ended before


def dripped(server: Server, first: bytes, pieces: Sequence[bytes] = ()) -> tuple[float, bytes]:
    """Seconds until the server closes, and its answer to some bytes and then others, one after another in time."""
    with connected(server) as connection:
        connection.sendall(first)
        begin = time.monotonic()
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.4 if len(pieces) > 1 else 0)
        answer = everything(connection)
        return time.monotonic() - begin, answer


def test_a_slow_body_is_408_and_the_connection_is_closed(server):
    with ThreadPoolExecutor() as pool:  # one stops, the other goes on in drops
        answers = pool.map(lambda pieces: dripped(server, head(Content_Length=100_000), pieces), ([b"{"], [b" "] * 12))
    for seconds, answer in answers:
        assert 1 < seconds < 6
        assert status(answer) == 408, answer
        assert b"the body: expected within 3 s" in answer
        assert b"Connection: close" in answer


def test_a_slow_head_and_an_idle_connection_end(server):
    contents = (b"", b"GET / HTTP/1.1\r\nHost:", head("GET", "/v2/health/live"))
    with ThreadPoolExecutor() as pool:
        for seconds, _ in pool.map(lambda content: dripped(server, content), contents):
            assert 1 < seconds < 5


def test_the_size_of_a_head_and_its_number_of_lines_are_bounded(server):
    large = exchange(server, head("GET", "/v2", X=70_000 * "x", Connection="close"))
    many = exchange(server, head("GET", "/v2", **{f"X{number}": 1 for number in range(120)}, Connection="close"))
    assert (status(large), status(many)) == (431, 431)
    assert b"at most 100 headers and 64 kB" in many
    assert status(exchange(server, head("GET", "/v2", X=60_000 * "x", Connection="close"))) == 200
    begin = time.monotonic()
    with connected(server) as connection, pytest.raises(OSError, match="reset|pipe"):
        for _ in range(2000):  # a head without an end is cut off, whatever it holds
            connection.sendall(b"X: " + 10_000 * b"x" + b"\r\n")
            time.sleep(0.001)
    assert time.monotonic() - begin < 5


def test_the_number_of_connections_is_bounded_and_newcomers_are_served_when_others_end(server):
    with ExitStack() as stack:
        opened = [stack.enter_context(connected(server)) for _ in range(60)]
        time.sleep(0.3)
        for connection in opened[45:]:
            answer = everything(connection)
            assert not answer or status(answer) == 503
    wait_for(lambda: server_answers(server), 10)
    assert b"ganad_refused_connections_total" in exchange(server, head("GET", "/metrics", Connection="close"))


def test_answers_that_nobody_reads_end_and_keep_nobody_from_scoring(server):
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * 16000).round(3).tolist()
    explain = json.dumps({"signature_name": "explain", "instances": [noise]}).encode()  # an answer of 0.5 MB
    before = memory_mb(server, "VmRSS")
    with ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(head(Content_Length=len(explain)) + explain)
        wait_for(lambda: server.ask("POST", PREDICT, GOOD)[0] == 200, 10)
        assert memory_mb(server, "VmRSS") - before < 200
        time.sleep(2.5)
        assert server.ask("POST", PREDICT, json.loads(explain))[0] == 200  # their room is free again


def test_a_small_flood_of_brackets_is_one_sentence_and_one_line(server):
    since = len(server.lines)
    for content in (b"[" * 500 + b"]" * 500, b'{"a":' * 500 + b"1" + b"}" * 500):
        code, answer = server.ask("POST", PREDICT, content)
        assert (code, answer) == (400, {"error": "the body: expected lists and objects nested at most 32 deep."})
    code, _ = server.ask("POST", PREDICT, b'{"instances": [')
    assert code == 400
    lines = rejected_lines(server, since)
    assert len(lines) == 3
    assert all("status=400" in line and len(line) < 500 for line in lines)


SHAPES = {
    "waveform": Signature({"waveform": Field(np.dtype("f4"), (None, None))}, {}),
    "frames": Signature({"log_mel": Field(np.dtype("f4"), (None, None, 128))}, {}),
}


def test_what_a_body_may_hold_follows_from_the_models_inputs():
    bound = parsing.Bound.of(SHAPES, clips=4, samples=160_000)
    assert (bound.numbers, bound.row) == (640_000, 128)
    assert parsing.Bound.of({"waveform": SHAPES["waveform"]}, clips=4, samples=10**9).row is None
    bound.check(b"[" + b",".join([b"[" + b"0," * 159_999 + b"0]"] * 4) + b"]")
    bound.check(b"[[" + b",".join([b"[" + b"0," * 127 + b"0]"] * 5000) + b"]]")
    for flood in (b"[],", b"0,", b"{},", b'"",', b'"a":1,'):
        with pytest.raises(TooLargeError, match="the body: expected"):
            bound.check(b"[" + flood * 2_000_000 + b"]")
    with pytest.raises(InputError, match="nested at most 32 deep"):
        bound.check(b"[" * 33)
    bound.check(b"[" * 32 + b"]" * 32)
    with pytest.raises(InputError, match="32 deep"):  # also across blocks
        bound.check(b"[" * 20 + b" " * parsing.BLOCK + b"[" * 20)


def test_a_body_of_another_length_than_the_limits_is_refused_before_a_model_sees_it(server):
    silent = [0.0] * 16000
    for instances, sentence in (
        ([silent] * 9, "waveform: expected at most 8 clips. Received: 9."),
        ([silent * 6], "waveform: expected clips of at most 5 s, received 6 s."),
    ):
        assert server.ask("POST", PREDICT, {"instances": instances}) == (400, {"error": sentence})
    frames = {"signature_name": "score_frames", "instances": [[[0] * 128] * 400]}
    code, answer = server.ask("POST", PREDICT, frames)
    assert (code, answer["error"][:48]) == (400, "log_mel: expected clips of at most 5 s, received")
    long = b64(with_size(FILES[0][:44] + bytes(2 * 6 * 16000)))
    code, answer = server.ask("POST", PREDICT, {**WAV, "instances": [b64(FILES[0]), long]})
    assert (code, answer["error"]) == (400, "wav_bytes[1]: expected clips of at most 5 s, received 6 s.")


def with_size(file: bytes) -> bytes:
    """A WAV file whose header counts what it has."""
    sizes = [(4, len(file) - 8), (40, len(file) - 44)]
    for place, size in sizes:
        file = file[:place] + size.to_bytes(4, "little") + file[place + 4 :]
    return file


def test_gzip_bodies_are_inflated_within_the_limit_and_answers_are_compressed_when_asked_for(server):
    content = json.dumps(GOOD).encode()
    for body in (gzip.compress(content), gzip.compress(content[:99]) + gzip.compress(content[99:])):
        sent = head(Content_Encoding="gzip", Content_Length=len(body), Connection="close") + body
        assert status(exchange(server, sent)) == 200
    bomb = gzip.compress(b" " * 60_000_000)
    answer = exchange(server, head(Content_Encoding="gzip", Content_Length=len(bomb), Connection="close") + bomb)
    assert status(answer) == 413
    assert b"at most 2 MB when inflated" in answer
    for encoding, body, expected in (("gzip", b"no gzip", 400), ("gzip", bomb[:99], 400), ("br", b"x", 415)):
        sent = head(Content_Encoding=encoding, Content_Length=len(body), Connection="close") + body
        assert status(exchange(server, sent)) == expected, encoding
    answer = exchange(server, head("GET", "/openapi.json", Accept_Encoding="br, gzip", Connection="close"))
    assert b"Content-Encoding: gzip" in answer
    assert json.loads(gzip.decompress(answer.partition(b"\r\n\r\n")[2]))["openapi"] == "3.1.0"
    assert b"Content-Encoding" not in exchange(
        server, head("GET", "/openapi.json", Accept_Encoding="gzip;q=0", Connection="close")
    )


def test_a_body_above_the_limit_is_413_in_every_form(server):
    for sent in (
        head(Content_Length=3_000_000, Connection="close") + b" " * 3_000_000,
        head(Content_Length=10**15),
        head(Content_Length=3_000_000, Expect="100-continue", Connection="close"),
        head(Transfer_Encoding="chunked", Connection="close") + b"2dc6c0\r\n" + b" " * 3_000_000 + b"\r\n0\r\n\r\n",
    ):
        answer = exchange(server, sent)
        assert status(answer) == 413, answer[:200]
        assert b"the body: expected at most 2 MB" in answer


def test_http_as_clients_speak_it(server):
    body = json.dumps(GOOD).encode()
    length = {"Content_Length": len(body)}
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:7], body[7:])) + b"0\r\n\r\n"
    chunked = exchange(server, head(Transfer_Encoding="chunked", Connection="close") + chunks)
    assert status(chunked) == 200
    old = exchange(server, head(**length).replace(b"HTTP/1.1", b"HTTP/1.0") + body)
    assert status(old) == 200
    pipelined = exchange(server, 2 * (head(**length) + body) + head("GET", "/v2", Connection="close"))
    assert pipelined.count(b"HTTP/1.1 200 OK") == 3
    with connected(server) as connection:
        connection.sendall(head(Expect="100-continue", **length, Connection="close"))
        assert connection.recv(99).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert status(everything(connection)) == 200
    for smuggled in (
        head(Content_Length=5, Transfer_Encoding="chunked") + b"0\r\n\r\n",
        head(Content_Length="+5") + b"12345",
        head(Content_Length="5\r\nContent-Length: 6") + b"123456",
        head(**{"X ": 1}) + b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: 1\r\n\r\n",
    ):
        assert status(exchange(server, smuggled)) == 400, smuggled


def test_every_address_answers_other_methods_with_405_and_what_it_takes(server):
    document = json.loads(exchange(server, head("GET", "/openapi.json", Connection="close")).partition(b"\r\n\r\n")[2])
    assert len(document["paths"]) > 15
    for path, operations in document["paths"].items():
        address = path.format(model="demo", version="1")
        allowed = ", ".join("GET, HEAD" if method == "get" else method.upper() for method in operations)
        for method in ("PUT", "OPTIONS", "POST" if "get" in operations else "GET"):
            answer = exchange(server, head(method, address, Connection="close"))
            assert status(answer) == 405, (method, address)
            assert f"\r\nAllow: {allowed}\r\n".encode() in answer
    assert status(exchange(server, head("BREW", "/v2", Connection="close"))) == 405
    assert status(exchange(server, head("GET", "/v3", Connection="close"))) == 404
    answer = exchange(server, head("HEAD", "/v2/health/ready", Connection="close"))
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


def test_the_description_of_the_server_is_openapi(server):
    validator = pytest.importorskip("openapi_spec_validator")
    _, document = server.ask("GET", "/openapi.json")
    validator.validate(document)
    assert document["paths"].keys() >= {"/v1/models/{model}:predict", "/v2/models/{model}/infer", "/metrics"}
    for path, operations in document["paths"].items():
        if "get" in operations:
            address = path.format(model="demo", version="1")
            assert status(exchange(server, head("GET", address, Connection="close"))) == 200, address


def series(server: Server) -> dict[str, float]:
    """Counts of `/metrics` by name and labels."""
    text = exchange(server, head("GET", "/metrics", Connection="close")).partition(b"\r\n\r\n")[2].decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_have_what_an_operator_alerts_on(server):
    before = series(server)

    def more(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert server.ask("POST", PREDICT, {**WAV, "instances": [b64(file) for file in FILES]})[0] == 200
    assert server.ask("POST", PREDICT, {"instances": [[0.0]]})[0] == 400
    for number in range(50):
        server.ask("POST", f"/v1/models/nobody{number}:predict", GOOD)
        server.ask("POST", f"/v1/models/demo/versions/{number + 5}:predict", GOOD)
        server.ask("POST", PREDICT, {"signature_name": f"nobody{number}", "instances": [[0.0]]})
    after = series(server)
    labels = 'model="demo",signature="score_wav",status="200",version="1"'
    assert more(f"ganad_requests_total{{{labels}}}") == 1
    assert more('ganad_request_seconds_count{model="demo",signature="score_wav",version="1"}') == 1
    assert more('ganad_clips_total{model="demo",version="1"}') == 3
    assert more('ganad_alarms_total{model="demo",version="1"}') == 3  # tones are no fans
    assert more('ganad_rejected_total{status="400"}') == 51
    assert more('ganad_rejected_total{status="404"}') == 100
    assert more("ganad_batch_clips_count") >= 1
    assert after["ganad_queue_length"] == 0
    assert after["ganad_models"] == 1
    assert after['ganad_anomaly_score{model="demo",quantile="0.5",version="1"}'] > 0
    assert len(after) - len(before) < 40
    assert not any("nobody" in name for name in after)


def test_a_place_is_free_again_whatever_happens_to_a_request(server):
    for _ in range(12):  # hung up in the midst of the body, and before the answer
        with connected(server) as connection:
            connection.sendall(head(Content_Length=100_000) + b" " * 50_000)
        body = json.dumps(GOOD).encode()
        with connected(server) as connection:
            connection.sendall(head(Content_Length=len(body)) + body)
    wait_for(lambda: series(server)["ganad_queue_length"] == 0, 10)
    assert server.ask("POST", PREDICT, GOOD)[0] == 200


def test_room_is_shared_and_some_of_it_is_left_for_the_small():
    budget = ByteBudget(8_000_000)
    budget.reserve(6_000_000, total=6_000_000)
    with pytest.raises(BusyError, match="too many requests"):
        budget.reserve(2_000_000, total=2_000_000)
    budget.reserve(900_000, total=900_000)
    budget.release(6_900_000)
    budget.reserve(6_000_001, total=7_000_000)


def test_connections_leave_file_descriptors_for_the_rest():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert max_connections(Limits(connections=5)) == 5
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert 100 < max_connections(Limits()) < 176
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def flood(server: Server, number: int) -> None:
    """Opens idle connections and lets them end, while one client is refused, hung up on or served."""
    with ExitStack() as stack:
        for _ in range(number):
            try:
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            except OSError:
                break
        with suppress(OSError, ValueError):  # closed at once
            assert server.ask("POST", PREDICT, GOOD)[0] in (200, 503)
        assert server.process.poll() is None
    wait_for(lambda: server_answers(server), 15)
    assert server.ask("GET", "/v1/models/demo")[1]["model_version_status"][0]["state"] == "AVAILABLE"


def server_answers(server: Server) -> bool:
    """Whether a request is served now."""
    try:
        return server.ask("POST", PREDICT, GOOD)[0] == 200
    except (OSError, ValueError):
        return False


def with_open_files(number: int, *options: str) -> Server:
    """A server that may open so many files."""
    launcher = ["sh", "-c", f'ulimit -n {number}; exec "$@"', "sh"]
    return Server(DEMO, *options, launcher=launcher)


@pytest.mark.slow
def test_few_file_descriptors_refuse_newcomers_and_the_models_stay():
    running = with_open_files(64, "--poll", "0.2", "--head-seconds", "2")
    try:
        flood(running, 200)
    finally:
        assert running.stop() == 0
    assert not re.search("Traceback|random_device|no longer|gone", "".join(running.lines))
    assert len([line for line in running.lines if "is the limit" in line]) == 1


@pytest.mark.slow
def test_more_idle_connections_than_file_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("too few file descriptors for this test itself")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    running = with_open_files(1024, "--poll", "0.2", "--head-seconds", "2")
    try:
        flood(running, 1100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert running.stop() == 0
    assert "Traceback" not in "".join(running.lines)


def test_sigterm_ends_half_sent_bodies_at_once_and_answers_what_was_accepted():
    running = Server(DEMO)
    silent = json.dumps({"instances": [[0.0] * 160_000] * 4}).encode()
    with ExitStack() as stack:
        halves = [stack.enter_context(connected(running)) for _ in range(8)]
        for connection in halves:
            connection.sendall(head(Content_Length=1000) + b"{")
        idle = stack.enter_context(connected(running))
        pool = stack.enter_context(ThreadPoolExecutor(8))
        accepted = [stack.enter_context(connected(running)) for _ in range(8)]
        for connection in accepted:
            connection.sendall(head(Content_Length=len(silent)) + silent)
        wait_for(lambda: series(running)["ganad_queue_length"] == 8, 10)
        begin = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        answers = list(pool.map(everything, [*halves, idle]))
        assert time.monotonic() - begin < 3
        assert [status(answer) for answer in answers[:8]] == [503] * 8
        assert answers[8] == b""
        assert [status(answer) for answer in pool.map(everything, accepted)] == [200] * 8
    assert running.ended(20) == 0
    assert "Traceback" not in "".join(running.lines)


def test_it_answers_health_while_it_loads_and_a_second_signal_ends_it_at_once(tmp_path):
    (tmp_path / "demo").symlink_to(DEMO)
    running = Server(tmp_path, "--host", "::", until=r"listening on \S+ port (\d+)")
    try:
        found = [running.ask("GET", path, host="::1")[0] for path in ("/v2/health/live", "/v2/health/ready")]
        assert found == [200, 503]
        code, answer = running.ask("POST", PREDICT, GOOD, host="::1")
        assert code in (404, 503, 200), answer
        wait_for(lambda: running.ask("GET", "/v2/health/ready", host="::1")[0] == 200)
        assert running.ask("POST", PREDICT, GOOD)[0] == 200  # over IPv4
        noise = np.zeros(16000 * 100).tolist()
        explain = json.dumps({"signature_name": "explain", "instances": [noise]}).encode()
        n_before = series(running)["ganad_batch_clips_count"]
        with socket.socket() as unread:
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            unread.connect(("127.0.0.1", running.port))
            unread.sendall(head(Content_Length=len(explain)) + explain)
            wait_for(lambda: series(running)["ganad_batch_clips_count"] > n_before)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            assert running.process.poll() is None  # it waits for the answer to be read
            begin = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(5) == -signal.SIGTERM
            assert time.monotonic() - begin < 2
    finally:
        running.process.kill()
        running.ended(5)


@pytest.mark.slow
def test_out_of_memory_is_503_and_the_server_lives_and_stops():
    running = Server(DEMO, launcher=["env"])  # without memory that was free before it was forked
    try:
        assert running.ask("POST", PREDICT, GOOD)[0] == 200
        numbers = b'{"instances": [[' + b"0.5," * 9_000_000 + b"0]]}"
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        for room in (250, 150, 60, 10, 1):  # MB: it ends while the body is parsed, later ones while it is received
            size = int(re.search(r"VmSize:\s+(\d+)", Path(f"/proc/{running.process.pid}/status").read_text())[1])
            limit = (1024 * size + room * 1_000_000, unlimited[1])
            resource.prlimit(running.process.pid, resource.RLIMIT_AS, limit)
            code, answer = running.ask("POST", PREDICT, numbers)
            assert code == 503, answer
            assert "memory" in answer["error"]
            resource.prlimit(running.process.pid, resource.RLIMIT_AS, unlimited)
            assert running.ask("POST", PREDICT, GOOD)[0] == 200
        resource.prlimit(running.process.pid, resource.RLIMIT_AS, limit)  # too little for the stack of a new thread
    finally:
        assert running.stop() == 0
    assert "Traceback" not in "".join(running.lines)


@pytest.mark.slow
def test_a_body_of_empty_lists_takes_little_memory_and_stops_nobody():
    running = Server(DEMO)
    try:
        assert running.ask("POST", PREDICT, GOOD)[0] == 200
        before, slowest, answers = memory_mb(running, "VmRSS"), 0.0, []
        body = b'{"instances":[' + b"[]," * 33_000_000 + b"[]]}"
        client = threading.Thread(target=lambda: answers.append(running.ask("POST", PREDICT, body)))
        client.start()
        while client.is_alive():
            begin = time.monotonic()
            running.ask("GET", "/v2/health/live")
            slowest = max(slowest, time.monotonic() - begin)
        assert answers[0][0] == 413
        assert memory_mb(running, "VmHWM") - before < 300
        assert slowest < 2
        wait_for(lambda: memory_mb(running, "VmRSS") - before < 50, 10)
    finally:
        assert running.stop() == 0


def test_a_body_that_is_inflated_is_whole():
    content = bytes(range(256)) * 40
    assert parsing.inflate(gzip.compress(content), 10_240) == content
    for broken in (gzip.compress(content)[:-5], zlib.compress(content), gzip.compress(content) + b"x"):
        with pytest.raises(InputError, match="gzip"):
            parsing.inflate(broken, 20_000)
    with pytest.raises(TooLargeError):
        parsing.inflate(gzip.compress(content), 10_239)
