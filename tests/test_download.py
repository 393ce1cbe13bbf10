"""Public data sets from a server on loopback that misbehaves: complete and verified, or one sentence."""

import io
import json
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial

import pytest
from conftest import ROOT
from zenodo_server import Zenodo

from ganad_tf.cli import arguments, terminal
from ganad_tf.cli.main import main
from ganad_tf.download import archive, catalogue, plan
from ganad_tf.download.fetch import Source, fetch
from ganad_tf.download.manifest import Manifest
from ganad_tf.download.transfer import Patience
from ganad_tf.errors import DataError

DEV, TRAIN, EVAL = (part.record for part in catalogue.find("dcase2020").parts)
MIMII, TOYADMOS, URBAN = (catalogue.find(name).parts[0].record for name in ("mimii", "toyadmos", "urbansound8k"))


def noise(seed, n_bytes=3000):
    return random.Random(seed).randbytes(n_bytes)


def zipped(entries):
    """A zip file; a ZipInfo may be the name of an entry."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return stream.getvalue()


def clips(machine, split, *names, n_bytes):
    return {f"{machine}/{split}/{name}.wav": noise(f"{machine}{split}{name}", n_bytes) for name in names}


def challenge(machine, n_bytes):
    """Development, additional training and evaluation archive of a machine, with names of the challenge."""
    made = partial(clips, machine, n_bytes=n_bytes)
    normal, anomaly = "normal_id_00_00000000", "anomaly_id_00_00000000"
    return (
        {f"dev_data_{machine}.zip": made("train", normal) | made("test", normal, anomaly)},
        {f"eval_data_train_{machine}.zip": made("train", "normal_id_01_00000000")},
        {f"eval_data_test_{machine}.zip": made("test", "id_01_00000000", "id_01_00000001")},
    )


def records_of(*machines, n_bytes=3000):
    """The files of the three records, and the content of the tree that they become."""
    files, tree = {DEV: {}, TRAIN: {}, EVAL: {}}, {}
    for machine in machines:
        for record, folder, archives in zip(files, ("dev", "eval", "eval"), challenge(machine, n_bytes), strict=True):
            for name, entries in archives.items():
                files[record][name] = zipped(entries)
                tree |= {f"{folder}_data/{entry}": content for entry, content in entries.items()}
    return files, tree


def write_by_hand(folder):
    """Archives of a fan, of the challenge and of MIMII, with the JSON of their records."""
    files, _ = records_of("fan")
    files[MIMII] = {"6_dB_fan.zip": zipped({"fan/id_00/normal/00000000.wav": noise(0)})}
    folder.mkdir()
    server = Zenodo(files)
    server.close()
    for number, archives in files.items():
        (folder / f"{number}.json").write_bytes(server.record(number))
        for name, content in archives.items():
            (folder / name).write_bytes(content)


def content_of(root):
    """Every file below the root by path, without the manifest."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.name != "download.json"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def serve():
    """Starts servers with these records."""
    running = []

    def start(files):
        running.append(Zenodo(files))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture
def one(serve, tmp_path):
    """A server with one archive of the development data, what it becomes, and a way to fetch it."""
    files, tree = records_of("fan")
    return Download(serve({DEV: files[DEV]}), tmp_path / "data", "dcase2020", mode="dev"), tree_of(tree, "dev_data")


def tree_of(tree, folder):
    return {name: content for name, content in tree.items() if name.startswith(folder)}


class Download:
    """`ganad download NAME` without the command line, and with little patience."""

    patience = Patience(attempts=3, seconds=0.01, longest=1.0)

    def __init__(self, server, root, name, **selection):
        self.server, self.root, self.selection = server, root, selection
        self.data_set = catalogue.find(name) if isinstance(name, str) else name

    def __call__(self, **options):
        source = Source(options.pop("folder", None), self.server.url, self.patience)
        manifest = Manifest(self.root)
        chosen = plan.make(self.data_set, plan.Selection(**self.selection), source.read)
        fetch(chosen.jobs, manifest, source, **options)
        return content_of(self.root)


def command(server, root, *arguments, name="dcase2020"):
    """Exit code of the command line, in this process."""
    return main(["download", name, "--root", str(root), "--mirror", server.url, *arguments])


# The whole way


def test_three_records_become_two_trees_and_a_second_run_downloads_nothing(serve, tmp_path, capsys):
    files, tree = records_of("fan", "ToyCar")
    server = serve(files)
    assert command(server, tmp_path / "data") == 0
    assert content_of(tmp_path / "data") == tree
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"download.json", "dev_data", "eval_data"}
    settings = capsys.readouterr().out
    server.requests.clear()
    assert command(server, tmp_path / "data") == 0
    assert server.requests == []
    assert capsys.readouterr().out == settings
    (tmp_path / "dcase2020.yaml").write_text(settings)
    assert main(["list", str(tmp_path / "dcase2020.yaml"), "--eval"]) == 0
    assert capsys.readouterr().out.split("\n")[2].split() == ["ToyCar", "01", "1", "0", "0", "2"]


def test_data_that_was_deleted_is_downloaded_again(one):
    download, tree = one
    assert download() == tree
    (download.root / "dev_data" / "fan" / "test" / "anomaly_id_00_00000000.wav").unlink()
    assert download() == tree


def test_a_list_has_names_and_sizes_and_downloads_nothing(serve, tmp_path, capsys):
    files, _ = records_of("fan")
    files[DEV]["big.zip"] = bytes(12_345_678)
    server = serve(files)
    assert command(server, tmp_path / "data", "--list") == 0
    assert not (tmp_path / "data").exists()
    assert [path for path, _ in server.requests] == [f"/api/records/{number}" for number in (DEV, TRAIN, EVAL)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["development", str(DEV), "big.zip", "12.3", "MB"]
    assert (
        lines[-3]
        == f"4 files, {plan.in_words(sum(len(file) for record in files.values() for file in record.values()))}"
    )
    assert "cc-by-4.0" in lines[-2]
    assert "2006.05822" in lines[-1]


def test_machine_types_are_words_in_names(serve, tmp_path):
    names = ["dev_ToyCar_r2.zip", "dev_ToyCarEmu.zip", "dev_NoToyCar.zip"]
    files = {name: zipped({f"{name[4:-4]}/train/a.wav": noise(name)}) for name in names} | {"README.md": b"read"}
    number = catalogue.find("dcase2026").parts[0].record
    chosen = Download(serve({number: files}), tmp_path, "dcase2026", mode="dev", machines=("ToyCar",))
    assert list(chosen()) == ["dev_data/ToyCar_r2/train/a.wav"]


def test_archives_are_kept_where_asked_and_used_again(one):
    download, tree = one
    kept = f"archives/{DEV}/dev_data_fan.zip"
    assert download(keep=True) == tree | {kept: download.server.files[DEV]["dev_data_fan.zip"]}
    (download.root / "dev_data").rename(download.root / "elsewhere")
    download.server.requests.clear()
    assert tree.items() <= download(keep=True).items()
    assert not download.server.ranges_of("dev_data_fan.zip")


def test_an_archive_whose_remover_was_killed_is_removed_unless_it_was_to_stay(one):
    download, tree = one
    download()
    path = download.root / "archives" / str(DEV) / FAN
    path.parent.mkdir(parents=True)
    path.write_bytes(b"left over")
    assert download() == tree
    (download.root / "dev_data").rename(download.root / "elsewhere")
    download(keep=True)
    assert path.exists()
    download()
    assert path.exists()


def test_trees_of_mimii_with_equal_names_stay_apart(serve, tmp_path):
    names = [f"{snr}_dB_{machine}.zip" for snr in ("-6", "0", "6") for machine in ("fan", "pump")]
    files = {name: zipped({f"{name[:-4].split('_')[2]}/id_00/normal/00000000.wav": noise(name)}) for name in names}
    server = serve({MIMII: files})
    assert command(server, tmp_path / "data", "--machine", "fan", "--snr", "-6", "6", name="mimii") == 0
    expected = {f"MIMII/{snr}_dB_fan/fan/id_00/normal/00000000.wav": noise(f"{snr}_dB_fan.zip") for snr in ("-6", "6")}
    assert content_of(tmp_path / "data") == expected


def test_a_tar_file_and_its_documents(serve, tmp_path, capsys):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name in ("UrbanSound8K/audio/fold1/1-0-0-0.wav", "UrbanSound8K/metadata/UrbanSound8K.csv"):
            member = tarfile.TarInfo(name)
            member.size = 3000
            packed.addfile(member, io.BytesIO(noise(name)))
    server = serve({URBAN: {"UrbanSound8K.tar.gz": stream.getvalue(), "FREESOUNDCREDITS.txt": b"thanks"}})
    assert command(server, tmp_path, name="urbansound8k") == 0
    assert sorted(content_of(tmp_path)) == [
        "UrbanSound8K/audio/fold1/1-0-0-0.wav",
        "UrbanSound8K/metadata/UrbanSound8K.csv",
        f"documents/{URBAN}/FREESOUNDCREDITS.txt",
    ]
    assert f'dev_directory: "{tmp_path}/UrbanSound8K"' in capsys.readouterr().out


def seven_zipped(entries):
    py7zr = pytest.importorskip("py7zr", reason="the extra `sevenzip` is not installed")
    stream = io.BytesIO()
    with py7zr.SevenZipFile(stream, "w") as packed:
        packed.set_encoded_header_mode(False)
        for name, content in entries.items():
            packed.writef(io.BytesIO(content), name)
    return stream.getvalue()


def test_volumes_of_toyadmos_are_one_archive(serve, tmp_path):
    entries = {"ToyCar/case1/NormalSound_IND/1.wav": noise(1), "ToyCar/case1/AnomalousSound_IND/2.wav": noise(2)}
    packed = seven_zipped(entries)
    volumes = {f"ToyCar.7z.00{number + 1}": packed[number * 2500 : (number + 1) * 2500] for number in range(3)}
    assert b"".join(volumes.values()) == packed
    assert Download(serve({TOYADMOS: volumes}), tmp_path, "toyadmos")() == {
        f"ToyADMOS/{name}": content for name, content in entries.items()
    }


def test_esc50_has_no_checksum_and_is_counted(serve, tmp_path):
    data_set = catalogue.find("esc50")
    part = replace(data_set.parts[0], n_recordings=3)
    top = f"ESC-50-{catalogue.ESC50_COMMIT}"
    entries = {f"{top}/audio/{number}.wav": b"RIFF" for number in range(2)} | {f"{top}/meta/esc50.csv": b"filename"}
    path = part.url.removeprefix("https://github.com")
    server = serve({0: {path: zipped(entries)}})
    download = Download(server, tmp_path, replace(data_set, parts=(part,)))
    with pytest.raises(DataError, match=r"Expected 3 recordings in ESC-50-\w+.zip. Received: 2."):
        download()
    assert not (tmp_path / "ESC-50").exists()
    server.files[0][path] = zipped(entries | {f"{top}/audio/2.wav": b"RIFF"})
    names = ["audio/0.wav", "audio/1.wav", "audio/2.wav", "meta/esc50.csv"]
    assert sorted(download()) == [f"ESC-50/{name}" for name in names]


def test_litter_of_file_managers_is_left_out(serve, tmp_path):
    files = {
        f"eval_data_{part}_fan.zip": zipped(
            {f"fan/{part}/a.wav": b"1", "fan/.DS_Store": noise(part), "__MACOSX/._x": b"2"}
        )
        for part in ("train", "test")
    }
    server = serve({TRAIN: files, EVAL: {"eval_data_test_pump.zip": zipped({"pump/test/a.wav": b"3"})}})
    expected = {"eval_data/fan/train/a.wav": b"1", "eval_data/fan/test/a.wav": b"1", "eval_data/pump/test/a.wav": b"3"}
    assert Download(server, tmp_path, "dcase2020", mode="eval")() == expected


def test_progress_counts_bytes_also_those_of_an_earlier_attempt(one, caplog, monkeypatch):
    download, _ = one
    download.server.faults[FAN] = [{"send": 4000}, 500, 500, 500]
    size, shown = len(download.server.files[DEV][FAN]), []
    with pytest.raises(DataError):
        download(advance=shown.append)
    assert sum(shown) == 4000
    download(advance=shown.append)
    assert sum(shown) == 4000 + size
    monkeypatch.setattr(terminal, "SECONDS_PER_LINE", 0.0)
    with caplog.at_level("INFO"), terminal.byte_bar("dcase2020", 2_500_000) as advance:
        advance(1_250_000)
    assert caplog.messages[-1].startswith("dcase2020: 1.25M of 2.50MB, ")


# A network that fails


FAN = "dev_data_fan.zip"
FAILING = {
    "dropped three times": ([{"send": 1000}, {"send": 2000}, {"send": 500}], 4),
    "dropped before the first byte": ([{"send": 0}, {"send": 0}], 3),
    "without ranges": ([{"send": 4000}, {"ignore_range": True}], 2),
    "busy": ([{"status": 429, "headers": {"Retry-After": "0"}}, 503], 3),
    "failing": ([500, 502], 3),
    "of an ETag that is another": ([{"send": 4000, "etag": '"old"', "body": "other"}], 2),
    "of a weak ETag": ([{"send": 4000, "etag": 'W/"old"', "body": "other"}, {}, {"body": "other"}], 4),
    "of another range": ([{"send": 4000}, {"shift": 100}, {"body": "other"}], 4),
    "without an ETag": ([{"send": 4000, "etag": ""}], 2),
    "with wrong content, once": ([{"body": "other"}], 2),
    "with another length, once": ([{"length": 10}], 2),
    "moved": ([{"status": 302, "headers": {"Location": f"/moved/api/records/{DEV}/files/{FAN}/content"}}], 2),
}


def as_fault(fault):
    return {"status": fault} if isinstance(fault, int) else fault


@pytest.mark.parametrize("faults", FAILING)
def test_files_arrive_complete(one, faults):
    download, tree = one
    other = {"body": download.server.files[DEV][FAN][::-1]}  # of the same length
    sent, n_requests = FAILING[faults]
    download.server.faults[FAN] = [fault | other if "body" in fault else fault for fault in map(as_fault, sent)]
    assert download() == tree
    assert len(download.server.ranges_of(FAN)) == n_requests


def test_a_broken_download_goes_on_where_it_stopped(one):
    download, tree = one
    download.server.faults[FAN] = [{"send": 4000}, 500, 500, 500]
    with pytest.raises(DataError, match=r"to answer, but the answer was 500 .*, 3 times in a row. The same command"):
        download()
    assert download.server.ranges_of(FAN) == [None, "bytes=4000-", "bytes=4000-"]
    assert download() == tree
    assert download.server.ranges_of(FAN)[-1] == "bytes=4000-"


def test_a_retry_after_takes_the_place_of_longer_pauses(one):
    download, tree = one
    download.patience = Patience(seconds=5)
    download.server.faults[FAN] = [{"status": 503, "headers": {"Retry-After": "0"}}]
    begin = time.monotonic()
    assert download() == tree
    assert time.monotonic() - begin < 4


@pytest.mark.slow
def test_a_retry_after_is_waited_for(one):
    download, tree = one
    download.server.faults[str(DEV)] = [{"status": 429, "headers": {"Retry-After": "1"}}]
    begin = time.monotonic()
    assert download() == tree
    assert 1 <= time.monotonic() - begin < 3


ETAG = b'"for the next attempt"'
LOST = {
    "wrong content": (
        {"body": bytes(8000)},
        r"Expected dev_data_fan.zip with \d+ bytes. Received: 8000 bytes. This hap",
    ),
    "wrong byte": ("flipped", r"Expected dev_data_fan.zip with the MD5 \w{32}. Received: \w{32}. This happened twice"),
    "too long": ({"body": bytes(20_000), "length": 20_000}, "Received: 20000 bytes. This happened twice"),
    "not found": (404, r"Expected a file at http://.*/dev_data_fan.zip/content. Received: 404 Not Found."),
    "forbidden": (403, "Received: 403 Forbidden."),
    "silent": ({"send": 0, "etag": ETAG.decode()}, "but the connection broke, 3 times in a row"),
    "circle": (
        {"status": 302, "headers": {"Location": f"/api/records/{DEV}/files/{FAN}/content"}},
        "but it redirects more than 5 times",
    ),
    "to a file": ({"status": 302, "headers": {"Location": "file:///etc/passwd"}}, "the address is not valid"),
}


def test_volumes_are_not_downloaded_without_the_library_that_unpacks_them(serve, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "py7zr", None)
    server = serve({TOYADMOS: {"ToyCar.7z.001": b"7z"}})
    assert command(server, tmp_path / "data", name="toyadmos") == 2
    assert (
        "Expected py7zr for 7z archives; install it with: pip install 'ganad_tf[sevenzip]'." in capsys.readouterr().err
    )
    assert not server.ranges_of("ToyCar")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("fault", LOST)
def test_or_there_is_one_sentence_and_nothing_half_done(one, fault):
    download, _ = one
    answer, message = LOST[fault]
    if answer == "flipped":
        right = download.server.files[DEV][FAN]
        answer = {"body": right[:-1] + bytes([right[-1] ^ 1]), "etag": ""}
    download.server.faults[FAN] = [answer, ...]
    with pytest.raises(DataError, match=message) as caught:
        download()
    assert "\n" not in str(caught.value)
    assert not (download.root / "dev_data").exists()
    assert len(download.server.ranges_of(FAN)) <= 6
    assert set(content_of(download.root).values()) <= {b"", ETAG}


def test_others_are_finished_and_each_failure_is_named(serve, tmp_path):
    files, tree = records_of("fan", "pump", "valve")
    server = serve(files)
    server.faults["dev_data_fan.zip"] = server.faults["dev_data_valve.zip"] = [404, ...]
    download = Download(server, tmp_path, "dcase2020", mode="dev")
    with pytest.raises(DataError, match=r"dev_data_fan.zip.*404 Not Found.\n.*dev_data_valve.zip.*404 Not Found."):
        download()
    assert content_of(tmp_path) == {name: content for name, content in tree.items() if "dev_data/pump" in name}


def test_a_server_that_is_not_there(one):
    download, _ = one
    download.server.close()
    with pytest.raises(DataError, match=r"but there was an error \(Connection refused\), 3 times in a row"):
        download()


# Archives that are not trusted


def with_mode(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def tarred(**attributes):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        member = tarfile.TarInfo(attributes.pop("name", "fan/x.wav"))
        for key, value in attributes.items():
            setattr(member, key, value)
        packed.addfile(member)
    return stream.getvalue()


def renamed(packed, name, other):
    """A 7z file with another name in its header, whose checksums are right again."""
    packed = packed.replace(name.encode("utf-16-le"), other.encode("utf-16-le"))
    offset, size = struct.unpack("<QQ", packed[12:28])
    begin = packed[12:28] + struct.pack("<I", zlib.crc32(packed[32 + offset : 32 + offset + size]))
    return packed[:8] + struct.pack("<I", zlib.crc32(begin)) + begin + packed[32:]


def lying():
    """A zip file whose entry is longer than the archive says."""
    packed = bytearray(zipped({"fan/a.wav": noise(0)}))
    for size in (b"PK\x01\x02", b"PK\x03\x04"):
        at = packed.index(size) + (24 if size[2] == 1 else 22)
        packed[at : at + 4] = (100).to_bytes(4, "little")
    return bytes(packed)


UNSAFE = {
    "parent.zip": (zipped({"fan/a.wav": b"1", "fan/../../x": b"2"}), r"inside of .* Received: 'fan/../../x'"),
    "absolute.zip": (zipped({"/tmp/x": b"2"}), "Received: '/tmp/x'"),
    "backslash.zip": (zipped({"fan/..\\..\\x": b"2"}), "Expected names inside"),
    "drive.zip": (zipped({"C:/x": b"2"}), "Received: 'C:/x'"),
    "link.zip": (zipped({with_mode("fan/x", 0o120777): b"/etc/passwd"}), "Received: a link or a device, 'fan/x'"),
    "device.zip": (zipped({with_mode("fan/x", 0o020666): b""}), "Received: a link or a device, 'fan/x'"),
    "bomb.zip": (zipped({f"fan/{number}.wav": bytes(1 << 20) for number in range(3)}), "at most 20 times its size"),
    "lying.zip": (lying(), "to be an undamaged archive, but it is not"),
    "twice.zip": (zipped({"fan": b"1", "fan/a.wav": b"2"}), "fan/a.wav is in it twice"),
    "cut.zip": (zipped({"fan/a.wav": noise(1)})[:-30], "to be an undamaged archive"),
    "text.zip": (b"no archive", "to be an undamaged archive"),
    "parent.tar": (tarred(name="../x"), "Received: '../x'"),
    "absolute.tar": (tarred(name="/tmp/x"), "Received: '/tmp/x'"),
    "link.tar": (tarred(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "a link or a device, 'fan/x.wav'"),
    "hardlink.tar": (tarred(type=tarfile.LNKTYPE, linkname="/etc/passwd"), "a link or a device, 'fan/x.wav'"),
    "fifo.tar": (tarred(type=tarfile.FIFOTYPE), "a link or a device, 'fan/x.wav'"),
    "text.tar.gz": (b"no archive", "to be an undamaged archive"),
    "parent.7z": (
        lambda: renamed(seven_zipped({"a/bb/bb/x.wav": b"2"}), "bb/bb", "../.."),
        r"Received: 'a/../../x.wav'",
    ),
    "bomb.7z": (lambda: seven_zipped({"fan/a.wav": bytes(3 << 20)}), "at most 20 times its size"),
    "cut.7z": (lambda: seven_zipped({})[:20], "to be an undamaged archive"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_archives_leave_nothing(serve, tmp_path, name):
    content, message = UNSAFE[name]
    content = content if isinstance(content, bytes) else content()
    server = serve({DEV: {name: content, FAN: zipped({"fan/train/a.wav": b"1"})}})
    (tmp_path / "root").mkdir()
    download = Download(server, tmp_path / "root", "dcase2020", mode="dev")
    with pytest.raises(DataError, match=message):
        download()
    assert content_of(tmp_path) == {"root/dev_data/fan/train/a.wav": b"1"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fan.zip", "fan.tar", "fan.tar.gz", "fan.7z"])
def test_changed_bytes_are_an_error_or_harmless(name, tmp_path):
    entries, stream, dice = {"fan/a.wav": noise(1, 400), "fan/b.wav": noise(2, 400)}, io.BytesIO(), random.Random(0)
    if ".tar" in name:
        with tarfile.open(fileobj=stream, mode="w:gz" if name.endswith("gz") else "w") as packed:
            for entry, content in entries.items():
                member = tarfile.TarInfo(entry)
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
    right = stream.getvalue() or (seven_zipped(entries) if name.endswith(".7z") else zipped(entries))
    n_errors = 0
    for _ in range(100):
        changed = bytearray(right)
        for _ in range(dice.choice([1, 2, 5])):
            changed[dice.randrange(len(changed))] = dice.choice([0, 255, dice.randrange(256)])
        (tmp_path / name).write_bytes(changed[: dice.choice([None, None, None, dice.randrange(len(changed))])])
        (tmp_path / "out").mkdir()
        try:
            archive.unpack([tmp_path / name], tmp_path / "out", lambda: None)
        except DataError:
            n_errors += 1
        assert {path.name for path in tmp_path.iterdir()} == {name, "out"}
        shutil.rmtree(tmp_path / "out")
    assert n_errors > 5


def test_files_of_others_are_not_overwritten(one):
    download, _ = one
    theirs = download.root / "dev_data/fan/train/normal_id_00_00000000.wav"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    with pytest.raises(DataError, match=rf"no other files where those of {FAN} belong. Received: {theirs}; move them."):
        download()
    assert tree_of(content_of(download.root), "dev_data") == {"dev_data/fan/train/normal_id_00_00000000.wav": b"mine"}


# Files fetched by hand


def test_files_fetched_by_hand_need_no_network(serve, tmp_path, capsys):
    files, tree = records_of("fan", "pump")
    server = serve(files)
    by_hand = tmp_path / "downloads"
    by_hand.mkdir()
    (by_hand / f"{DEV}.json").write_bytes(server.record(DEV))
    server.close()
    arguments = ["download", "dcase2020", "--dev", "--root", str(tmp_path / "data"), "--from", str(by_hand)]
    assert main(arguments) == 2
    assert f"Expected these files in {by_hand}, but they are not there: {FAN}, dev_data_pump" in capsys.readouterr().err
    for name, content in files[DEV].items():
        (by_hand / name).write_bytes(content)
    (by_hand / FAN).write_bytes(files[DEV][FAN][::-1])
    assert main(arguments) == 2
    assert f"Expected {FAN} with the MD5" in capsys.readouterr().err
    (by_hand / FAN).write_bytes(files[DEV][FAN])
    assert main(arguments) == 0
    assert content_of(tmp_path / "data") == tree_of(tree, "dev_data")
    assert (by_hand / FAN).exists()


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dcase202"], "Unknown data set 'dcase202'; did you mean `dcase20"),
        (["mimii", "--dev"], "Expected no --dev: mimii has no development and evaluation data."),
        (["dcase2020", "--snr", "6"], "Expected no --snr with dcase2020. Received: 6."),
        (["mimii", "--snr", "3"], "Expected -6, 0, 6 after --snr. Received: 3."),
        (["dcase2020", "--mirror", "ftp://host"], "Expected http[s]://HOST"),
        (["dcase2020", "--mirror", "http://me:secret@host"], "without user, password or `?`."),
        (["dcase2020", "--from", "nowhere"], "Expected a folder of downloaded files after --from. Received: nowhere."),
    ],
)
def test_options_that_do_not_fit(arguments, message, tmp_path, capsys):
    assert main(["download", *arguments, "--root", str(tmp_path / "data")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
    assert not (tmp_path / "data").exists()


def test_a_root_that_is_a_file(tmp_path, capsys):
    (tmp_path / "data").write_text("x")
    assert main(["download", "dcase2020", "--root", str(tmp_path / "data")]) == 2
    assert f"Expected a folder after --root. Received: {tmp_path / 'data'}, a file." in capsys.readouterr().err


def test_records_and_machine_types_that_do_not_exist(serve, tmp_path, capsys):
    files, _ = records_of("fan", "pump")
    server = serve({DEV: files[DEV]})
    assert command(server, tmp_path / "data", "--dev", "--machine", "fam", "pump", "valv") == 2
    assert "Received: fam, valv; its archives are dev_data_fan.zip, dev_data_pump.zip." in capsys.readouterr().err
    assert command(server, tmp_path / "data") == 2
    assert f"Expected a file at {server.url}/api/records/{TRAIN}. Received: 404 Not Found." in capsys.readouterr().err
    for body in (b"<html>", b'{"files": [{"key": "x"}]}', server.record(DEV).replace(b"dev_data_fan", b"../dev_data")):
        server.faults[str(DEV)] = [{"body": body}]
        assert command(server, tmp_path / "data", "--dev") == 2
        assert "Expected" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_another_year_in_the_same_folders(one, capsys):
    download, tree = one
    assert command(download.server, download.root, "--dev") == 0
    assert command(download.server, download.root, name="dcase2021") == 2
    assert f"Expected another --root for dcase2021. Received: {download.root}, whose" in capsys.readouterr().err
    assert content_of(download.root) == tree


def test_too_little_disk_is_said_before_the_first_byte(serve, tmp_path, capsys):
    files, _ = records_of("fan")
    server = serve({DEV: files[DEV]})
    record = json.loads(server.record(DEV))
    record["files"][0]["size"] = 10**15
    server.faults[str(DEV)] = [{"body": json.dumps(record).encode()}]
    assert command(server, tmp_path / "data", "--dev") == 2
    assert "Expected 3.5 PB of free disk" in capsys.readouterr().err
    assert not server.ranges_of(FAN)
    assert not (tmp_path / "data").exists()


def test_a_damaged_manifest_costs_a_download_and_nothing_else(one, caplog):
    download, tree = one
    assert download() == tree
    path = download.root / "download.json"
    path.write_text(path.read_text().replace("fan", "fun"))
    assert download() == tree
    assert "is damaged (its checksum does not match)" in caplog.text


# Documents


def test_the_page_lists_each_name_with_its_records_and_each_option():
    page, rows = (ROOT / "docs" / "data.md").read_text(), {}
    for name, cells in re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.MULTILINE):
        rows[name] = cells
    assert list(rows) == list(catalogue.CATALOGUE)
    for name, data_set in catalogue.CATALOGUE.items():
        numbers = [int(number) for number in re.findall(r"\b\d{7,8}\b", rows[name].split("|")[0])]
        assert numbers == [part.record for part in data_set.parts if part.record], name
        assert numbers == [int(number) for number in re.findall(r"\b\d{7,8}\b", data_set.sheet.source)], name
        cells = rows[name].split("|")
        assert data_set.sheet.citation.rpartition(", ")[2] in cells[2]
        assert data_set.sheet.licence in cells[3] or data_set.sheet.licence.startswith("licence of the record")
    known = arguments.parser({"download": test_the_page_lists_each_name_with_its_records_and_each_option})
    with pytest.raises(SystemExit), redirect_stdout(io.StringIO()) as shown:
        known.parse_args(["download", "--help"])
    options = set(re.findall(r"--[\w-]+", shown.getvalue())) - {"--help", "--quiet", "--verbose"}
    assert options == set(re.findall(r"^\| `(--[\w-]+)", page, re.MULTILINE)) | {"--eval"}


# Processes


def started(server, root, *options):
    words = [sys.executable, *options, "-m", "ganad_tf", "download", "dcase2020", "--root", root]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a shell ignore it
    try:
        return subprocess.Popen([*words, "--mirror", server.url], cwd=ROOT, text=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_soon_and_two_at_once_are_refused(serve, tmp_path, capsys):
    """And no framework is imported for it."""
    files, tree = records_of("fan", n_bytes=30_000)
    server = serve(files)
    server.seconds_per_piece = 0.3
    process = started(server, tmp_path / "data", "-X", "importtime")
    while not list(tmp_path.glob("data/archives/*/*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    assert command(server, tmp_path / "data") == 2
    assert f"is being written by process {process.pid}" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    log = process.communicate(timeout=30)[1]
    assert "interrupted; what is finished is kept. To go on: ganad download" in log
    assert time.monotonic() - begin < 5
    assert process.returncode == 130
    assert list(tmp_path.glob("data/archives/*/*.part"))
    assert re.search(r"\| +requests\b", log)
    assert not re.search(r"\| +(tensorflow|keras)\b", log)
    server.seconds_per_piece = 0
    assert Download(server, tmp_path / "data", "dcase2020")() == tree


@pytest.mark.slow
def test_killed_at_twenty_moments_it_still_becomes_the_same(serve, tmp_path):
    files, tree = records_of("fan", "pump", "slider", "valve", "ToyCar", "ToyConveyor", n_bytes=30_000)
    server = serve(files)
    server.seconds_per_piece = 0.06
    root, moments, n_killed = tmp_path / "data", random.Random(0), 0
    for _ in range(20):
        process, n_requests = started(server, root), len(server.requests)
        while len(server.requests) == n_requests and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.4))
        n_killed += process.poll() is None
        process.kill()
        process.communicate()
    assert n_killed > 10
    server.seconds_per_piece = 0
    process = started(server, root)
    assert process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert content_of(root) == tree
    assert any(given for _, given in server.requests)  # it went on, and did not start over each time


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_nothing_that_is_there(serve, tmp_path):
    """A limit on the size of files stands for it."""
    files, tree = records_of("fan", n_bytes=60_000)
    server = serve(files)
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "from ganad_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "download", "dcase2020", "--root", tmp_path, "--mirror", server.url]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.search(r"^ganad: Can't write .*\.zip.*: File too large\.$", done.stderr, re.MULTILINE)
    assert not (tmp_path / "dev_data").exists()
    assert Download(server, tmp_path, "dcase2020")() == tree
    ranges = [given for archives in files.values() for name in archives for given in server.ranges_of(name)]
    assert "bytes=100000-" in ranges  # of the file that reached the limit first
