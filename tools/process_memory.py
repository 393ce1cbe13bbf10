"""Memory of a process by what Linux says of it; `getrusage` may give that of the process that started this one."""

from pathlib import Path

PEAK, RESIDENT = "VmHWM", "VmRSS"


def megabytes(key: str = PEAK, process: int | str = "self") -> float:
    """Largest (`PEAK`) or present (`RESIDENT`) memory of a process, by its number, in MB of 2^20 bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) / 1024
