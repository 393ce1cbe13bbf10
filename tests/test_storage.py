"""Storage by URL against a real S3-compatible server, also while requests fail, workers race, and processes die."""

import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest
import requests
from conftest import gate_takes, write_machine
from object_store import BUCKET, object_store
from processes import forked

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import remote
from ganad_tf.cli.main import main
from ganad_tf.config.sections import Storage
from ganad_tf.errors import ConfigError, StorageError
from ganad_tf.storage import fetching, placeholders, publishing
from ganad_tf.storage.folder import Folder
from ganad_tf.storage.store import ConflictError, Store
from ganad_tf.storage.workspace import Workspace, fetch_files

UNIT = {"dev/fan/weights.keras": b"weights", "dev/fan/paper/scorer.json": b"{}", "dev/fan/training.json": b"{1}"}
OTHER = {"dev/fan/weights.keras": b"others!", "dev/fan/training.json": b"{2}"}
PART = 5 * 2**20  # the smallest that S3 takes


@pytest.fixture(scope="module")
def server():
    with object_store() as (application, environment), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        requests.put(f"{environment['AWS_ENDPOINT_URL']}/{BUCKET}", timeout=10)
        yield application


@pytest.fixture
def url(server, request):
    yield f"s3://{BUCKET}/{re.sub(r'[^a-z0-9]+', '-', request.node.name)}"
    server.fault = lambda _: ""


def settings(tmp_path, worker="w", **changes) -> Storage:
    given = {"attempts": 3, "pause_seconds": 0.01, "timeout_seconds": 30.0} | changes
    return Storage(str(tmp_path / worker), **given)


def test_a_process_that_changes_its_environment_asks_the_other_server(server, url, tmp_path, monkeypatch):
    """As in a notebook, where the endpoint is set after a first attempt."""
    name = f"{url}/settings.json"
    Store(url, settings(tmp_path)).write(name, b"{}", None)
    with object_store() as (other, environment):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        del server.requests[:]
        assert Store(url, settings(tmp_path)).info(name)
        assert (len(other.requests), server.requests) == (1, [])


def image(tmp_path, url, worker="w", kind="model_directory", files=(), **changes) -> Folder:
    """A worker's image of a directory, with files in it."""
    chosen = settings(tmp_path, worker, **changes)
    folder = Folder(kind, Path(chosen.local(url)), chosen)
    for name, content in dict(files).items():
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def contents(folder: Folder) -> dict[str, bytes]:
    return {
        path.relative_to(folder.path).as_posix(): path.read_bytes()
        for path in sorted(folder.path.rglob("*"))
        if path.is_file()
    }


def fetched(tmp_path, url, worker="reader", **changes) -> dict[str, bytes]:
    """The directory as a new worker sees it."""
    folder = image(tmp_path, url, worker, **changes)
    fetching.fetch(folder)
    return contents(folder)


def test_a_url_is_a_local_path_in_the_run_and_a_url_in_its_records():
    given = {"model_directory": "s3://plant/a/model/", "dev_directory": "file:///data", "storage": {"scratch": "/s"}}
    members = ["s3://plant/a/result", "./other"]
    config = configuration.from_mapping({**given, "ensemble": {"members": members}}, source="here")
    assert (config.model_directory, config.dev_directory) == ("/s/s3/plant/a/model", "/data")
    assert config.member_directories() == ["/s/s3/plant/a/result", "./other"]
    recorded = configuration.to_dict(config)
    assert (recorded["model_directory"], recorded["ensemble"]["members"]) == ("s3://plant/a/model", members)
    assert config.score_settings()["ensemble.members"] == members
    elsewhere = configuration.from_mapping({**recorded, "storage": {"scratch": "/t"}}, source="there")
    assert elsewhere.model_directory == "/t/s3/plant/a/model"


def test_what_one_worker_publishes_another_fetches_and_nothing_twice(server, url, tmp_path):
    mine = image(tmp_path, url, files={**UNIT, "dev/fan.unfinished.npz": b"half", "dev/fan/.holder": b"me"})
    assert publishing.publish(mine).units == ("dev/fan",)
    names = [line.split("?")[0].rpartition("dev/")[2] for line in server.requests if line.startswith("PUT")]
    assert names[-5:] == ["fan.json", "fan/weights.keras", "fan/paper/scorer.json", "fan/training.json", "fan.json"]
    assert fetched(tmp_path, url) == UNIT
    del server.requests[:]
    assert publishing.publish(mine).units == ()
    assert fetched(tmp_path, url) == UNIT
    assert not [line for line in server.requests if line.startswith("PUT")]
    assert not [line for line in server.requests if line.startswith("GET") and "keras" in line]

    (mine.path / "dev/fan/paper/scorer.json").unlink()
    image(tmp_path, url, files={"dev/fan/training.json": b"{3}"})
    publishing.publish(mine)
    assert len([line for line in server.requests if line.startswith("PUT")]) == 3  # the file and the record, twice
    assert fetched(tmp_path, url) == {"dev/fan/weights.keras": b"weights", "dev/fan/training.json": b"{3}"}
    assert "dev/fan/paper/scorer.json" not in mine.store.find(url)


def test_files_from_elsewhere_are_taken_as_they_are_and_removed_ones_go(url, tmp_path):
    store = Store(url, settings(tmp_path))
    for name, content in UNIT.items():
        store.write(f"{url}/{name}", content, None)
    assert fetched(tmp_path, url) == UNIT
    for name in UNIT:
        store.remove(f"{url}/{name}")
    assert fetched(tmp_path, url) == {}
    assert not (
        tmp_path / "reader/s3" / BUCKET / url.rpartition("/")[2] / "dev"
    ).exists()  # else a detector without files


def test_a_damaged_index_is_one_sentence_and_loses_nothing(url, tmp_path):
    """The scratch directory may hold the only copy of what is still to be published."""
    mine = image(tmp_path, url, files=UNIT)
    publishing.publish(mine)
    [index] = [path for path in (mine.settings.directory / ".ganad").glob("*.json") if path.name != "settings.json"]
    image(tmp_path, url, files={"dev/fan/training.json": b"{3}"})
    for text in ("", "{", '{"dev/fan": 1}'):
        index.write_text(text)
        with pytest.raises(StorageError, match=r"Can't read .*json \(.*set another `storage.scratch`, or remove"):
            fetching.fetch(mine)
    assert contents(mine)["dev/fan/training.json"] == b"{3}"


FAULTS = ("500 Internal Server Error", "503 Slow Down", "hang", "break", "lost")


@pytest.mark.parametrize("fault", gate_takes(FAULTS, "503 Slow Down", "lost"))
def test_a_request_that_fails_is_repeated(server, url, tmp_path, fault):
    """The first request to each object fails; `lost` ones have done their work."""
    seen = set()

    def once(environ) -> str:
        key = environ["PATH_INFO"]
        return "" if key in seen or seen.add(key) or (fault == "hang" and len(seen) != 3) else fault

    patience = {"timeout_seconds": 0.7} if fault == "hang" else {}
    server.fault = once
    assert publishing.publish(image(tmp_path, url, files=UNIT, **patience)).units == ("dev/fan",)
    seen.clear()
    assert fetched(tmp_path, url, **patience) == UNIT
    seen.clear()
    store = Store(url, settings(tmp_path, **patience))
    assert store.write(f"{url}/new", b"new", None) == store.info(f"{url}/new").version


def test_after_the_last_attempt_there_is_one_sentence_and_no_unit(server, url, tmp_path):
    server.fault = lambda environ: "503 Slow Down" if environ["PATH_INFO"].endswith("training.json") else ""
    mine = image(tmp_path, url, files=UNIT)
    with pytest.raises(StorageError, match=r"training.json can't be written in 3 attempts; the last error: .*at fault"):
        publishing.publish(mine)
    server.fault = lambda _: ""
    assert fetched(tmp_path, url) == {}
    assert contents(mine) == UNIT
    fetching.fetch(mine)  # the next command of the same worker
    assert publishing.publish(mine).units == ("dev/fan",)
    assert fetched(tmp_path, url) == UNIT


def test_what_was_known_before_a_fetch_that_failed_is_known_after_it(server, url, tmp_path):
    """Otherwise a recording that the store no longer has would stay here as a placeholder for good."""
    store = Store(url, settings(tmp_path))
    versions = {name: store.write(f"{url}/{name}", b"1", None) for name in ("a.wav", "b.wav", "attributes.csv")}
    mine = image(tmp_path, url, kind="dev_directory", attempts=1)
    fetching.fetch(mine)
    assert contents(mine).keys() == versions.keys()

    store.remove(f"{url}/b.wav")
    store.write(f"{url}/attributes.csv", b"22", versions["attributes.csv"])
    server.fault = lambda environ: "503 Slow Down" if environ["PATH_INFO"].endswith("attributes.csv") else ""
    with pytest.raises(StorageError, match=r"attributes.csv can't be fetched in one attempt"):
        fetching.fetch(mine)
    server.fault = lambda _: ""
    fetching.fetch(mine)
    assert contents(mine).keys() == {"a.wav", "attributes.csv"}


def test_an_object_that_is_gone_since_it_was_listed_is_a_conflict(server, url, tmp_path):
    """A fetch meets it when another worker replaces a unit by one with fewer files, and looks at the unit again."""
    store, place = Store(url, settings(tmp_path)), f"{url}/scores.csv"
    store.write(place, b"1", None)
    listed = store.info(place)
    store.remove(place)
    with pytest.raises(ConflictError):
        store.fetch(place, tmp_path / "scores.csv", listed)
    assert list(tmp_path.iterdir()) == []

    store.write(place, b"1", None)

    def removed(environ) -> str:
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith("scores.csv"):
            store.remove(place)
        return ""

    server.fault = removed
    with pytest.raises(StorageError, match=r"scores.csv has changed or is gone since it was listed"):
        fetch_files(place, settings(tmp_path))


def test_an_upload_in_parts_that_breaks_is_never_seen(server, url, tmp_path):
    content = os.urandom(2 * PART + 1)
    (tmp_path / "big").write_bytes(content)
    store = Store(url, settings(tmp_path, attempts=2, timeout_seconds=5.0), part_bytes=PART)
    server.fault = lambda environ: "500 Internal Server Error" if "partNumber=3" in environ["QUERY_STRING"] else ""
    with pytest.raises(StorageError, match="2 attempts"):
        store.write(f"{url}/big", tmp_path / "big", None)
    assert store.find(url) == {}
    assert "<UploadId>" not in requests.get(f"{os.environ['AWS_ENDPOINT_URL']}/{BUCKET}?uploads", timeout=10).text
    server.fault = lambda _: ""
    version = store.write(f"{url}/big", tmp_path / "big", None)
    assert store.read(f"{url}/big")[0] == content
    (tmp_path / "big").write_bytes(content[::-1])
    for expected in (None, "another"):
        with pytest.raises(ConflictError):
            store.write(f"{url}/big", tmp_path / "big", expected)
    assert store.info(f"{url}/big").version == version


def test_of_two_workers_that_publish_one_unit_at_any_moment_it_is_whole(server, url, tmp_path):
    """The second begins, and ends, while the first waits for each of its requests that write."""
    for moment in (1, 3, 5):
        place, here = f"{url}-{moment}", tmp_path / str(moment)
        first, second = image(here, place, "first", files=UNIT), image(here, place, "second", files=OTHER)
        done, count = [], [0]

        def interrupt(environ, moment=moment, second=second, done=done, count=count) -> str:
            if environ["REQUEST_METHOD"] == "PUT" and not done:
                count[0] += 1
                if count[0] == moment:
                    done.append(True)
                    done.append(publishing.publish(second))
            return ""

        server.fault = interrupt
        outcome = publishing.publish(first)
        server.fault = lambda _: ""
        assert done[1].units == ("dev/fan",)
        # Before the first has opened the unit, it begins last itself.
        assert (outcome.units, outcome.left) == ((("dev/fan",), ()) if moment == 1 else ((), ("dev/fan",))), moment
        assert fetched(here, place) == (UNIT if moment == 1 else OTHER), moment


def test_recordings_are_placeholders_until_they_are_read(url, tmp_path):
    write_machine(tmp_path / "dev", ids=("00",), n_train=2, n_test=1)
    store = Store(url, settings(tmp_path))
    names = [path.relative_to(tmp_path / "dev").as_posix() for path in (tmp_path / "dev").rglob("*.wav")]
    for name in names:
        store.write(f"{url}/{name}", tmp_path / "dev" / name, None)
    given = {"dev_directory": url, "storage": {"scratch": str(tmp_path / "w"), "attempts": 2}}
    config = configuration.from_mapping(given, source="here")
    Workspace(config).fetch("dev", directories=["dev_directory"])
    [listing] = datasets.list_clips(config, "dev")
    sizes = {clip.file: clip.size for clip in listing.clips}
    assert sizes == {name: (tmp_path / "dev" / name).stat().st_size for name in names}
    clip = listing.clips[0]
    path, original = listing.directory / clip.file, (tmp_path / "dev" / clip.file).read_bytes()
    assert path.stat().st_blocks == 0
    with placeholders.present(path, keep=False):
        assert path.read_bytes() == original
    assert path.stat().st_blocks == 0
    placeholders.ensure(path)
    assert path.read_bytes() == original
    Workspace(config).fetch("dev", directories=["dev_directory"])  # leaves what is there
    assert path.read_bytes() == original
    assert clip in datasets.list_clips(config, "dev")[0].clips

    other = listing.directory / listing.clips[1].file
    store.remove(f"{url}/{listing.clips[1].file}")
    with pytest.raises(StorageError, match="has changed or is gone since it was listed"):
        placeholders.ensure(other)


def test_a_worker_without_a_scan_places_the_clips_of_a_listing(server, url, tmp_path):
    content = write_machine(tmp_path / "dev", ids=("00",), n_train=1, n_test=1)
    name = "fan/train/normal_id_00_00000000.wav"
    Store(url, settings(tmp_path)).write(f"{url}/{name}", content / name, None)
    configs = [
        configuration.from_mapping(
            {"dev_directory": url, "storage": {"scratch": str(tmp_path / worker)}}, source="here"
        )
        for worker in ("driver", "worker")
    ]
    Workspace(configs[0]).fetch("dev", directories=["dev_directory"])
    [listing] = datasets.list_clips(configs[0], "dev")
    del server.requests[:]
    Workspace(configs[1]).place(listing.clips, configs[1].data_directory("dev"))
    assert not server.requests
    assert datasets.list_clips(configs[1], "dev")[0].clips == listing.clips
    path = configs[1].data_directory("dev") / name
    placeholders.ensure(path)
    assert path.read_bytes() == (content / name).read_bytes()


def test_single_files_and_folders_are_fetched(url, tmp_path):
    store = Store(url, settings(tmp_path))
    store.write(f"{url}/a/b.wav", b"sound", None)
    assert fetch_files(f"{url}/a/b.wav", settings(tmp_path)).read_bytes() == b"sound"
    assert contents(image(tmp_path, f"{url}/a")) == {"b.wav": b"sound"}
    assert (fetch_files(f"{url}/a", settings(tmp_path, "v")) / "b.wav").read_bytes() == b"sound"
    with pytest.raises(StorageError, match="Expected a file or folder in .*/none, but there is none"):
        fetch_files(f"{url}/none", settings(tmp_path))


def test_the_newest_version_of_a_model_is_that_of_the_highest_number(url, tmp_path):
    """Other names are no versions here, as they are none in a local folder."""
    store = Store(url, settings(tmp_path))
    for name in ("9/saved_model.pb", "10/saved_model.pb", "011/saved_model.pb", "12", "notes/13"):
        store.write(f"{url}/model/{name}", b"1", None)
    assert remote.newest_version(f"{url}/model/") == f"{url}/model/10"
    assert remote.newest_version(f"{url}/model/9") == f"{url}/model/9"


def test_a_store_that_cannot_be_used_is_one_sentence(server, url, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="Expected the bucket `nowhere`, but there is none"):
        fetching.fetch(image(tmp_path, "s3://nowhere/model"))
    with pytest.raises(ConfigError, match="Expected the bucket `nowhere`, but there is none"):
        publishing.publish(image(tmp_path, "s3://nowhere/other", files=UNIT))
    with pytest.raises(ConfigError, match="gs:// needs a package that is missing; pip install gcsfs"):
        fetching.fetch(image(tmp_path, "gs://plant/model"))
    with pytest.raises(ConfigError, match=r"Expected a path or a URL such as s3://BUCKET/FOLDER. Received: s4://"):
        fetching.fetch(image(tmp_path, "s4://plant/model"))
    server.fault = lambda _: "403 Forbidden"
    with pytest.raises(StorageError, match=r"can't be listed \("):
        fetching.fetch(image(tmp_path, url))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"Expected credentials for s3://.* set AWS_ACCESS_KEY_ID and AWS_SECRET"):
        fetching.fetch(image(tmp_path, url, timeout_seconds=31.0))  # a connection of its own


@pytest.mark.parametrize(
    ("verb", "line", "sentence"),
    [
        ("train", "cache_directory: s3://nowhere/cache", "Expected the bucket `nowhere`, but there is none"),
        ("search", "result_directory: s3://plant/result", "Expected a local `search.directory` for a search"),
        ("train", "tensorboard: {directory: 's3://plant/logs'}", "Expected a local `tensorboard.directory`"),
        ("list", "storage: {attempts: 0}", "expected `storage.attempts` from 1"),
    ],
)
@pytest.mark.usefixtures("server")
def test_a_command_ends_with_one_sentence(tmp_path, monkeypatch, capsys, verb, line, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dev").mkdir()
    Path("a.yaml").write_text(f"dev_directory: {tmp_path}/dev\nmodel_directory: s3://plant/model\n{line}\n")
    more = [] if line.startswith("storage") else ["storage.attempts=1"]
    assert main([verb, "a.yaml", "--set", f"storage.scratch={tmp_path}/w", *more]) == 2
    assert sentence in capsys.readouterr().err


def _publish(url: str, scratch: str, environment: dict[str, str]) -> None:
    """A worker's process."""
    os.environ.update(environment)
    chosen = Storage(scratch, attempts=3, timeout_seconds=5.0)
    folder = Folder("model_directory", Path(chosen.local(url)), chosen)
    fetching.fetch(folder)
    publishing.publish(folder)


@pytest.fixture
def worker():
    """Starts a worker's process, which publishes the directory at a URL from its scratch directory."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS")}
    return lambda url, scratch: forked(_publish, url, str(scratch), environment)


@pytest.mark.slow
def test_a_worker_killed_at_any_write_leaves_no_unit_and_the_next_one_a_whole_one(server, url, tmp_path, worker):
    for moment in (2, 4, 5):  # the first file, the last one, and the record that closes the unit
        place, here, processes, count = f"{url}-{moment}", tmp_path / str(moment), [], [0]
        first, second = image(here, place, "first", files=UNIT), image(here, place, "second", files=OTHER)

        def kill(environ, moment=moment, processes=processes, count=count) -> str:
            count[0] += environ["REQUEST_METHOD"] == "PUT"
            if count[0] == moment and processes:
                os.kill(processes.pop().pid, signal.SIGKILL)
            return ""

        server.fault = kill
        dying = worker(place, here / "first")
        processes.append(dying)
        dying.join(60)
        assert dying.exitcode == -signal.SIGKILL
        server.fault = lambda _: ""
        found = fetched(here, place)
        assert found == {} or (moment == 5 and found == UNIT)  # whose last request has perhaps arrived
        again = first if moment == 4 else second
        fetching.fetch(again)
        publishing.publish(again)
        assert fetched(here, place) == (UNIT if moment == 4 or found else OTHER), moment


@pytest.mark.slow
def test_processes_that_race_leave_a_whole_unit(url, tmp_path, worker):
    for number in range(2):
        place, here = f"{url}-{number}", tmp_path / str(number)
        image(here, place, "a", files=UNIT), image(here, place, "b", files=OTHER)
        workers = [worker(place, here / name) for name in "ab"]
        for each in workers:
            each.join(60)
        assert [each.exitcode for each in workers] == [0, 0]
        assert fetched(here, place) in (UNIT, OTHER), number


PROJECT = """
dev_directory: {root}/dev
cache_directory: {root}/cache
model_directory: {root}/model
result_directory: {root}/result
export_directory: {root}/exported
feature: {{n_mels: 16, frames: 3, standardize: true}}
model: {{name: DenseAE, hidden: [16]}}
fit: {{epochs: 1, batch_size: 64, verbose: 0, min_steps: 0}}
scorer: {{name: density, density: knn}}
storage: {{attempts: 5, timeout_seconds: 5}}
"""


@pytest.mark.slow
def test_a_run_by_url_has_the_files_of_a_local_run(server, url, tmp_path, ganad):
    """Each verb is a worker of its own, with a scratch directory of its own, and one request in ten fails."""
    write_machine(tmp_path / "here" / "dev", ids=("00",))
    (tmp_path / "here.yaml").write_text(PROJECT.format(root="./here"))
    (tmp_path / "there.yaml").write_text(PROJECT.format(root=url))
    store = Store(url, settings(tmp_path))
    for path in (tmp_path / "here" / "dev").rglob("*.wav"):
        store.write(f"{url}/{path.relative_to(tmp_path / 'here').as_posix()}", path, None)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS")}
    server.fault = lambda environ: "503 Slow Down" if environ["PATH_INFO"].endswith("01.wav") else ""
    more = ("--set", "storage.scratch=prepare", "storage.attempts=1", "on_bad_clip=skip")
    failed = ganad("prepare", "there.yaml", "-q", *more, cwd=tmp_path, check=2, **environment)
    assert re.search(r"01.wav can't be \w+ in one attempt", failed.stderr)  # no clip is left out for that
    assert store.find(f"{url}/cache") == {}
    ganad("run", "here.yaml", "-q", cwd=tmp_path)
    lock, count = threading.Lock(), [0]

    def one_in_ten(_) -> str:
        with lock:
            count[0] += 1
            return "" if count[0] % 10 else ("500 Internal Server Error", "lost", "break")[count[0] // 10 % 3]

    server.fault = one_in_ten
    for verb in ("prepare", "train", "score", "evaluate"):
        ganad(verb, "there.yaml", "-q", "--set", f"storage.scratch={verb}", cwd=tmp_path, **environment)
    done = ganad("export", "there.yaml", "-q", "--set", "storage.scratch=export", cwd=tmp_path, **environment)
    assert done.stdout.strip() == f"{url}/exported/there_fan/1"
    recordings = list((tmp_path / "prepare/s3").rglob("*.wav"))
    assert len(recordings) == 12
    assert all(path.stat().st_blocks == 0 for path in recordings)

    server.fault = lambda _: ""
    everything = image(tmp_path, url, "everything", kind="files", timeout_seconds=5.0)
    fetching.fetch(everything)
    made = 0
    for path in (tmp_path / "here").rglob("*"):
        name = path.relative_to(tmp_path / "here").as_posix()
        if path.suffix in (".csv", ".tfrecord", ".npz") and not name.startswith("dev/"):
            assert (everything.path / name).read_bytes() == path.read_bytes(), name
            made += 1
    assert made >= 12
    assert (everything.path / "exported/there_fan/1/saved_model.pb").is_file()
    origin = json.loads((everything.path / "result/score_origin_dev_fan.json").read_text())
    assert origin["detector"] == f"{url}/model/dev/fan"
    line = ganad(
        *("predict", f"{url}/exported/there_fan", f"{url}/dev/fan/test", "--csv"),
        cwd=tmp_path,
        **environment,
        HOME=str(tmp_path),
    )
    assert len(line.stdout.splitlines()) == 7
    systems = (f"{url}/result", f"seeds={url}/result,here/result")
    table = ganad("compare", *systems, cwd=tmp_path, **environment, HOME=str(tmp_path)).stdout
    seeds = {cells[1]: cells[4] for row in table.splitlines() if len(cells := [c.strip() for c in row.split("|")]) > 4}
    assert (seeds["result"], seeds["seeds"]) == ("1", "2")
