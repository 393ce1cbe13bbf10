"""A server on loopback that answers as Zenodo does, and misbehaves as servers and networks do."""

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 4096


class Zenodo:
    """Records with files, at `url`.

    Attributes:
      files: Content by record and file name; the records state its size and MD5.
      faults: What happens instead, by file name or record, one per request; the last repeats if `...` follows it.
        A number is a status, a dictionary may have `status`, `headers`, `body`, `etag`, `send` (bytes before the
        connection breaks), `length` (announced),
        `ignore_range`, and `shift` (bytes by which a range begins too early).
      seconds_per_piece: Time between pieces of 4 kB.
      requests: Path and `Range` of each request, in order.
    """

    def __init__(self, files: dict[int, dict[str, bytes]]) -> None:
        self.files = files
        self.faults: dict[str, list] = {}
        self.seconds_per_piece = 0.0
        self.requests: list[tuple[str, str | None]] = []
        self._lock = threading.Lock()
        zenodo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                zenodo.answer(self)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Nothing: clients are killed, which breaks connections."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()

    def ranges_of(self, name: str) -> list[str | None]:
        """`Range` of each request for a file."""
        return [given for path, given in self.requests if name in path]

    def record(self, number: int) -> bytes:
        """JSON of a record, in the fields that Zenodo's has."""
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": f"https://zenodo.org/api/records/{number}/files/{name}/content"},
            }
            for name, content in self.files[number].items()
        ]
        return json.dumps({"id": number, "metadata": {"license": {"id": "cc-by-4.0"}}, "files": files}).encode()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers a request, with the next fault if there is one."""
        given = request.headers.get("Range")
        with self._lock:
            self.requests.append((request.path, given))
            name = request.path.removesuffix("/content").rpartition("/")[2]
            faults = self.faults.get(name, [])
            fault = faults[0] if faults else {}
            if faults and faults[1:2] != [...]:
                faults.pop(0)
        fault = {"status": fault} if isinstance(fault, int) else fault
        if "status" in fault:
            self._send(request, fault["status"], b"", fault.get("headers", {}), {})
            return
        body = fault.get("body", self._content(request.path))
        if body is None:
            self._send(request, 404, b"", {}, {})
            return
        etag = fault.get("etag", f'"{hashlib.md5(body).hexdigest()}"')
        begin = int(re.match(r"bytes=(\d+)-", given)[1]) if given and not fault.get("ignore_range") else 0
        begin = max(0, begin - fault.get("shift", 0))
        if request.headers.get("If-Range", etag) != etag:
            begin = 0
        headers = {"ETag": etag} if etag else {}
        if begin >= len(body) > 0:
            self._send(request, 416, b"", {"Content-Range": f"bytes */{len(body)}"}, {})
        elif begin:
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
            self._send(request, 206, body[begin:], headers, fault)
        else:
            self._send(request, 200, body, headers, fault)

    def _content(self, path: str) -> bytes | None:
        found = re.fullmatch(r"/(?:moved/)?api/records/(\d+)(?:/files/([^/]+)/content)?", path)
        if found is None or int(found[1]) not in self.files:
            return self.files.get(0, {}).get(path)
        return self.files[int(found[1])].get(found[2]) if found[2] else self.record(int(found[1]))

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict, fault: dict) -> None:
        length = fault.get("length", len(body))
        request.send_response(status)
        for key, value in ({"Content-Length": str(length)} | headers).items():
            request.send_header(key, value)
        request.end_headers()
        body = body[: fault.get("send", len(body))]
        try:
            for begin in range(0, len(body), PIECE):
                time.sleep(self.seconds_per_piece if begin else 0)
                request.wfile.write(body[begin : begin + PIECE])
                request.wfile.flush()
        except OSError:  # the client has gone
            request.close_connection = True
        if "send" in fault or length != len(body):
            request.close_connection = True
