"""`ganad serve` in a process of its own, for tests of its protocols."""

import re
import signal
import threading
from pathlib import Path

from processes import Command


class ServingProcess:
    """A server with gRPC on free ports; `port`, `grpc_port` and the `lines` of its log."""

    def __init__(self, folder: Path, *options: object) -> None:
        self.process = Command("serve", folder, "--port", "0", "--grpc-port", "0", *options)
        assert self.process.stderr
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            if re.search(r"^serving .* on http", line):
                break
        else:
            raise AssertionError("".join(self.lines))
        log = "".join(self.lines)
        self.port = int(re.search(r"on https?://\S+:(\d+)\s", log)[1])
        self.grpc_port = int(re.search(r"on grpcs?://\S+:(\d+)\s", log)[1])
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True)
        self._reader.start()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join()
        self.process.stderr.close()
        return code
