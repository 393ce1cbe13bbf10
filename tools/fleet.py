"""One exported model of many machines against models of single ones: time to load, memory, scores, speed, a swap.

    python tools/fleet.py CONFIG.yaml --machine fan [--copies 1000] [--clients 200] [--seconds 20]

The configuration's detector of that machine is trained; the fleet's machines are copies of it with weights changed at
random by up to 2 %; the one that is replaced changes more. Writes into a temporary folder and prints a table.
"""

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import wave
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from process_memory import PEAK, RESIDENT, megabytes

ROOT = Path(__file__).resolve().parents[1]
CLIPS = 16
REPLACED = 1  # number of the machine that is replaced
LONGEST = 300  # seconds until the second version answers
SAME = 1e-5  # relative difference of scores by one version


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=20, help="time before and after the second version is seen, all in all"
    )
    parser.add_argument("--singles", type=int, default=3, help="machines that are also exported alone")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job == "make":
        make(options)
    elif options.job == "use":
        print(json.dumps(use(options.folder, options.singles)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            for job in ("make", "use"):
                environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"}
                command = [sys.executable, __file__, *sys.argv[1:], "--job", job, "--folder", folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            rows = json.loads(done.stdout) | swap(Path(folder), options.clients, options.seconds)
        print("\n".join(f"{name:<64}{value}" for name, value in rows.items()))


def make(options: argparse.Namespace) -> None:
    """Writes two versions of a fleet, of which one machine differs, and the models of a few of its machines."""
    from ganad_tf import config as configuration
    from ganad_tf import datasets
    from ganad_tf.exporting import fleet, fleet_arrays, fleet_settings, metadata, savedmodel, trained_system
    from ganad_tf.exporting.fleet_graph import FleetScorer
    from ganad_tf.run import machine_runs
    from ganad_tf.serving.models.versions import METADATA

    config = configuration.load(options.config)
    (run,) = machine_runs(config, datasets.list_clips(config, "dev", [options.machine]), "dev")
    system = trained_system.gather(run)
    first = fleet.arrays_of(system, list(fleet_settings.members_by_label(system)))
    variables = _variables(system)
    of_members = [name for name in first if fleet_arrays.is_of_member(name) and not fleet_arrays.is_count(name)]

    def copy(number: int, names: Iterable[str] = variables, by: float = 0.02) -> dict[str, np.ndarray]:
        random = np.random.default_rng(number)
        return first | {
            name: first[name] * random.uniform(1 - by, 1 + by, first[name].shape).astype(first[name].dtype)
            for name in names
        }

    def write(graph: object, path: Path, facts: dict[str, object], **others: object) -> None:
        savedmodel.save(graph, path, **others)
        entries = metadata.collect(system, path.parent.name)
        entries["input"] |= facts
        metadata.write(path / METADATA, entries)

    machines = [f"m{number:04d}" for number in range(options.copies)]
    arrays = [copy(number) for number in range(options.copies)]
    for number in range(options.singles):
        for name, variable in variables.items():
            variable.assign(arrays[number][name])
        write(system.graph(), options.folder / "models" / machines[number] / "1", {})
    for path in (options.folder / "models" / "fleet" / "1", options.folder / "next"):
        graph = FleetScorer(system.config, system.members, machines, arrays)
        write(graph, path, {"machines": machines}, variables=graph.stacked)
        del graph
        arrays[REPLACED] = copy(options.copies, of_members, by=0.2)


def _variables(system: object) -> dict[str, object]:
    """Weights of the members by the names of their arrays in a fleet."""
    import tensorflow as tf

    from ganad_tf.exporting import fleet_arrays
    from ganad_tf.exporting.graph import used_weights

    clip = tf.TensorSpec([None, system.config.feature.bands], tf.float32)
    return {
        f"{fleet_arrays.prefix(number)}{fleet_arrays.WEIGHT}{index}": variable
        for number, member in enumerate(system.members)
        for index, (variable, _) in enumerate(used_weights(member, clip, explains=False))
    }


def use(folder: Path, singles: int) -> dict[str, object]:
    """Loads the fleet and single models; compares their scores and rates."""
    import tensorflow as tf

    from ganad_tf.serving.models.artifact import Artifact

    tf.constant(0)
    before, begin = megabytes(RESIDENT), time.perf_counter()
    fleet = Artifact(folder / "models" / "fleet")
    files = (folder / "models" / "fleet").rglob("*")
    rows: dict[str, object] = {
        "machines": len(fleet.machines),
        "seconds until the fleet is loaded": time.perf_counter() - begin,
        "MB before, then, at most": [before, megabytes(RESIDENT), megabytes(PEAK)],
        "MB on disk": sum(path.stat().st_size >> 10 for path in files if path.is_file()) >> 10,
    }
    clips = np.random.default_rng(0).normal(0, 0.05, [CLIPS, 160000]).astype(np.float32)
    difference, rates = 0.0, {"fleet": [], "single": []}
    for machine in fleet.machines[:singles]:
        alone = Artifact(folder / "models" / machine)
        names = np.array([machine.encode()] * CLIPS, dtype=object)
        sides = {"fleet": (fleet, {"waveform": clips, "machine": names}), "single": (alone, {"waveform": clips})}
        for _ in range(6):  # in turns
            scores = {}
            for side, (artifact, inputs) in sides.items():
                begin = time.perf_counter()
                scores[side] = artifact("score_waveform", inputs)["anomaly_score"]
                rates[side].append(CLIPS / (time.perf_counter() - begin))
        difference = max(difference, float(np.max(np.abs(scores["fleet"] / scores["single"] - 1))))
    rows["largest relative difference from the models of single machines"] = difference
    return rows | {f"clips/s, {side}: median, highest": [float(np.median(of)), max(of)] for side, of in rates.items()}


def swap(folder: Path, clients: int, seconds: float) -> dict[str, object]:
    """Clients that ask the fleet over HTTP while a version with one other machine takes its place."""
    command = [
        sys.executable,
        "-m",
        "ganad_tf",
        "serve",
        str(folder / "models" / "fleet"),
        "--port",
        "0",
        "--poll",
        "1",
    ]
    command += ["--queue", str(2 * clients)]  # nobody is sent away
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        try:
            lines = iter(server.stderr or ())
            port = next(filter(None, (re.search(r"on https?://[\d.]+:(\d+)", line) for line in lines)))[1]
            reader = threading.Thread(target=lambda: [None for _ in lines])
            reader.start()
            asked = Clients(f"http://127.0.0.1:{port}/v1/models/fleet:predict", clients)
            time.sleep(seconds / 2)
            appears = time.perf_counter()
            (folder / "next").rename(folder / "models" / "fleet" / "2")
            while not asked.has_new_scores() and time.perf_counter() < appears + LONGEST:
                time.sleep(0.1)
            time.sleep(seconds / 2)
            asked.stop()
        finally:
            server.terminate()
        reader.join()
    return asked.rows(appears)


class Clients:
    """Clients that each ask about one of two machines, of which the second is replaced, one request after another.

    Attributes:
      statuses: Number of answers by status, or name of the error.
      scores: Per machine the time of each answer and its score, in the order of the answers.
    """

    def __init__(self, url: str, number: int) -> None:
        self.statuses: Counter[str] = Counter()
        self.scores: dict[str, list[tuple[float, float]]] = {"m0000": [], f"m{REPLACED:04d}": []}
        self._url, self._is_stopped = url, threading.Event()
        machines = [*self.scores]
        self._threads = [threading.Thread(target=self._ask, args=[machines[index % 2]]) for index in range(number)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits until all have their last answer."""
        self._is_stopped.set()
        for thread in self._threads:
            thread.join()

    def has_new_scores(self) -> bool:
        """Whether there is a score of the replaced machine by the second version."""
        return any(self._are_new(f"m{REPLACED:04d}"))

    def _are_new(self, machine: str) -> list[bool]:
        scores = [score for _, score in self.scores[machine]]
        return [abs(score / scores[0] - 1) > SAME for score in scores]

    def rows(self, appears: float) -> dict[str, object]:
        """Rows of the table; `appears` is the time at which the second version did."""
        rows: dict[str, object] = {f"answers to {len(self._threads)} clients by status": dict(self.statuses)}
        for machine, answers in self.scores.items():
            of_new = self._are_new(machine)
            rows[f"scores of {machine} by the first, by the second version"] = [of_new.count(False), of_new.count(True)]
            if any(of_new):
                first = min(moment for (moment, _), is_new in zip(answers, of_new, strict=True) if is_new)
                rows["seconds until the first score by the second version"] = first - appears
        return rows

    def _ask(self, machine: str) -> None:
        instance = {"wav_bytes": {"b64": _WAV}, "machine": machine}
        body = json.dumps({"signature_name": "score_wav", "instances": [instance]}).encode()
        while not self._is_stopped.is_set():
            try:
                with urllib.request.urlopen(urllib.request.Request(self._url, body), timeout=120) as answer:
                    score = json.loads(answer.read())["predictions"][0]["anomaly_score"]
                self.scores[machine].append((time.perf_counter(), score))
                self.statuses["200"] += 1
            except OSError as error:
                self.statuses[str(getattr(error, "code", type(error).__name__))] += 1


def _wav() -> str:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.random.default_rng(1).normal(0, 1000, 16000).astype("<i2").tobytes())
    return base64.b64encode(stream.getvalue()).decode()


_WAV = _wav()


if __name__ == "__main__":
    main()
