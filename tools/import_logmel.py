"""Brings log-mels that were made elsewhere into the cache, for `dataset.name: imported`.

    python tools/import_logmel.py CONFIG.yaml --machine ToyCar [--train-below N] [--test-from N]
        [--anomalies-from N [--contaminate]] FILE...

FILE is an `.npz` with `names` `[clips]` and `logmel_db` `[clips, frames, mels]` in dB, or one of
MLPerf Tiny's `<name>_hist_librosa.bin` (float32, little endian, one spectrum after another). Names
are the challenge's, `normal_id_01_00000000`. Normal clips with a number below `--train-below` become
training clips; all others are test clips, or those from `--test-from` on if that is given. Anomalies
with a number below `--anomalies-from` are left out or, with `--contaminate`, training clips as if they
were normal, as where a machine broke without anybody's knowledge. The features must have been made with
the settings in CONFIG.yaml; only the number of mel bands can be checked.
"""

import argparse
import itertools
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf import config as configuration
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config
from ganad_tf.errors import DataError, GanadError
from ganad_tf.run import MachineRun

BIN_SUFFIX = "_hist_librosa.bin"
CLIPS_PER_SHARD = 64


@dataclass(frozen=True)
class Split:
    """Division of the clips into training and test by their numbers, for each machine ID.

    Attributes:
      train_below: Normal clips with lower numbers are for training.
      test_from: Other normal clips with lower numbers are left out.
      anomalies_from: Anomalies with lower numbers are not for the test.
      contaminated: Whether they are training clips, labelled normal, instead of left out.
    """

    train_below: int = 0
    test_from: int = 0
    anomalies_from: int = 0
    contaminated: bool = False

    def of(self, number: int, *, is_anomaly: bool) -> str | None:
        """`train`, `test`, or None for a clip that is left out."""
        if is_anomaly:
            aside = "train" if self.contaminated else None
            return "test" if number >= self.anomalies_from else aside
        if number < self.train_below:
            return "train"
        return "test" if number >= self.test_from else None


def main() -> int:
    """Imports the files; 0 done, 2 something that the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG.yaml")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--machine", required=True, help="machine type of all clips, such as ToyCar")
    parser.add_argument(
        "--train-below", type=int, default=0, metavar="N", help="normal clips with a number below N are for training"
    )
    parser.add_argument(
        "--test-from", type=int, default=0, metavar="N", help="normal clips with a number below N are not for the test"
    )
    parser.add_argument(
        "--anomalies-from",
        type=int,
        default=0,
        metavar="N",
        help="anomalies with a number below N are not for the test",
    )
    parser.add_argument(
        "--contaminate", action="store_true", help="anomalies below --anomalies-from are for training, as normal clips"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting of CONFIG.yaml")
    options = parser.parse_args()
    try:
        config = configuration.load(options.config, options.set)
        division = Split(options.train_below, options.test_from, options.anomalies_from, options.contaminate)
        for name, count in import_files(config, options.files, options.machine, division).items():
            print(f"{cache_path(config, options.machine, name)}: {count} clips")
    except GanadError as error:
        print(f"import_logmel: {error}", file=sys.stderr)
        return 2
    return 0


def cache_path(config: Config, machine: str, split: str) -> Path:
    """Directory of the cache that is written."""
    listing = Listing(machine, Path(config.dev_directory), ())
    return Cache(MachineRun(config, listing, "dev"), split).path


def import_files(config: Config, files: list[Path], machine: str, division: Split) -> dict[str, int]:
    """Writes the caches of the training and the test clips; how many clips each has."""
    from ganad_tf.cache import manifest, records
    from ganad_tf.cache.sums import RunningStatistics

    caches = {split: cache_path(config, machine, split) for split in ("train", "test")}
    for cache in caches.values():
        if cache.exists():
            raise DataError(f"Expected no cache in {cache} yet; remove it to import again.")
    names: set[str] = set()
    for clip, _ in read_files(config, files, machine, division):  # all are looked at before anything is written
        if clip.name in names:
            raise DataError(f"Expected every clip once. Received: {clip.name} twice.")
        names.add(clip.name)
    empty = manifest.Manifest(config.feature_fingerprint(), config.feature_settings(), source="")
    manifests, sums = {}, {split: RunningStatistics() for split in caches}
    for split, cache in caches.items():
        clips = (pair for pair in read_files(config, files, machine, division) if pair[0].split == split)
        while shard := list(itertools.islice(clips, CLIPS_PER_SHARD)):
            known = manifests.get(split, empty)
            manifests[split] = records.append(cache, known, shard, sums[split], config.cache.dtype)
    for split, unfinished in manifests.items():
        records.finish(caches[split], unfinished, sums[split])
    return {split: len(unfinished.entries) for split, unfinished in manifests.items()}


def read_files(config: Config, files: list[Path], machine: str, division: Split) -> Iterator[tuple[Clip, np.ndarray]]:
    """Every clip in use with its log-mel, `[frames, mels]` float32 in dB."""
    for path in files:
        for name, log_mel in _read_bin(path, config) if path.name.endswith(BIN_SUFFIX) else _read_npz(path):
            if log_mel.ndim != 2 or log_mel.shape[1] != config.feature.bands or len(log_mel) < config.feature.frames:
                expected = f"at least {config.feature.frames} spectra of {config.feature.bands} mel bands"
                raise DataError(f"{path}: expected {expected} for {name}. Received: shape {log_mel.shape}.")
            if not np.isfinite(log_mel).all():
                raise DataError(f"{path}: expected numbers, but {name} holds NaN or infinite values.")
            clip = _clip(path, name, machine, division)
            if clip is not None:
                yield clip, log_mel


def _clip(path: Path, name: str, machine: str, division: Split) -> Clip | None:
    match = re.fullmatch(r"(normal|anomaly)_id_(\d\d)_(\d{8})", name)
    if match is None:
        raise DataError(f"{path}: expected a name such as `normal_id_01_00000000`. Received: {name!r}.")
    label, number = int(match[1] == "anomaly"), int(match[3])
    split = division.of(number, is_anomaly=bool(label))
    if split is None:
        return None
    stat = path.stat()
    file = f"{machine}/{split}/{name}.wav"
    return Clip(
        file, f"{name}.wav", machine, match[2], split, label if split == "test" else 0, stat.st_size, stat.st_mtime_ns
    )


def _read_npz(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, log_mels = np.atleast_1d(arrays["names"]), arrays["logmel_db"].astype(np.float32)
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise DataError(f"{path}: expected an .npz file with `names` and `logmel_db`. Received: {error}.") from error
    if len(names) != len(log_mels):
        raise DataError(f"{path}: expected as many names as log-mels. Received: {len(names)} and {len(log_mels)}.")
    for name, log_mel in zip(names, log_mels, strict=True):
        yield str(name), log_mel


def _read_bin(path: Path, config: Config) -> Iterator[tuple[str, np.ndarray]]:
    try:
        values = np.frombuffer(path.read_bytes(), "<f4")
        yield path.name.removesuffix(BIN_SUFFIX), values.reshape(-1, config.feature.bands)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected float32 spectra of {config.feature.bands} mel bands. Received: {error}."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
