"""Fact sheets of public data sets: source, licence, citation and published numbers of clips.

`ganad list` compares the numbers with what is there.
Numbers are from the READMEs of the challenge's baseline (github.com/nttcslab/dcase2023_task2_baseline_ae, README.md and
README_legacy.md) for 2021 and later, from Purohit et al. 2019 for MIMII, of which the challenge of 2020 took 100 normal
clips per ID for its test, and from the pages of UrbanSound8K and ESC-50. A licence that was not at hand is that of the
record. The sheet of 2021 has the numbers of target clips alone, because the others are given as "around 1000" and
"around 100"; MIMII DUE and ToyADMOS have none.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode

KINDS: Mapping[str, Callable[[Clip], bool]] = {
    "training": lambda clip: clip.split == "train",
    "test": lambda clip: clip.split == "test",
    "test normal": lambda clip: clip.split == "test" and clip.label == 0,
    "test anomaly": lambda clip: clip.split == "test" and clip.label == 1,
    "normal": lambda clip: clip.label == 0,
    "anomaly": lambda clip: clip.label == 1,
}


@dataclass(frozen=True)
class Count:
    """A published number of clips.

    Attributes:
      machine: Machine type; empty for whichever is listed.
      kind: One of `KINDS`.
      number: The number; channels of one file are one clip.
      machine_id: Machine ID or section; empty for all of them together.
      domain: `source` or `target`; empty for both together.
    """

    machine: str
    kind: str
    number: int
    machine_id: str = ""
    domain: str = ""

    def actual(self, clips: Iterable[Clip]) -> int:
        """Number of such files among the clips of the machine type, without supplemental ones."""
        return len(
            {
                clip.file
                for clip in clips
                if KINDS[self.kind](clip)
                and self.machine_id in ("", clip.machine_id)
                and self.domain in ("", clip.domain)
                and "supplemental" not in dict(clip.attributes)
            }
        )


@dataclass(frozen=True)
class FactSheet:
    """Source, licence, citation and numbers of a data set.

    Attributes:
      title: Name.
      source: Zenodo records or page; of the challenge for development, additional training and evaluation data.
      licence: Licence of the recordings.
      citation: Paper.
      counts: Published numbers by mode; none if they are not published exactly.
    """

    title: str
    source: str
    licence: str
    citation: str
    counts: Mapping[Mode, Sequence[Count]] = field(default_factory=dict)

    def differences(self, listings: Sequence[Listing], mode: Mode, only: Collection[str] = ()) -> list[str]:
        """Lines on what differs from the published numbers; empty if nothing does.

        Args:
          listings: Machine types that are there.
          mode: `dev` or `eval`.
          only: Machine types to compare; all if empty.
        """
        by_machine = {_plain(listing.machine): listing for listing in reversed(listings)}
        counts = self.counts.get(mode, ())
        missing = {count.machine for count in counts} - by_machine.keys() - {""}
        lines = [f"{machine}: not there" for machine in sorted(missing) if not only]
        for listing in listings:
            known = [count for count in counts if count.machine in ("", _plain(listing.machine))]
            if not known and counts:
                lines.append(f"{listing.machine}: not a machine type of this data set")
            lines += _differences(listing, known)
        return lines


def _differences(listing: Listing, counts: Sequence[Count]) -> Iterator[str]:
    """One line per machine ID whose numbers differ."""
    by_id: dict[str, list[str]] = {}
    for count in counts:
        actual = count.actual(listing.clips)
        if actual != count.number:
            words = f"{count.kind} {count.domain}".rstrip()
            by_id.setdefault(count.machine_id, []).append(f"{words} {actual} of {count.number}")
    for machine_id, parts in by_id.items():
        yield f"{f'{listing.machine} {machine_id}'.rstrip()}: {', '.join(parts)}"


def _plain(machine: str) -> str:
    """Machine type without the signal-to-noise ratio that the layout `mimii` adds.

    >>> _plain("fan_min6dB"), _plain("fan")
    ('fan', 'fan')
    """
    head, _, end = machine.rpartition("_")
    return head if head and end.removeprefix("min").removesuffix("dB").isdecimal() and end.endswith("dB") else machine


def _sections(machines: str, ids: str = "00") -> tuple[Count, ...]:
    """Development data of 2022 and later."""
    return tuple(
        Count(machine, kind, number, section, domain)
        for machine in machines.split()
        for section in ids.split()
        for domain, trained in (("source", 990), ("target", 10))
        for kind, number in (("training", trained), ("test normal", 50), ("test anomaly", 50))
    )


def _evaluation(machines: str, ids: str = "00") -> tuple[Count, ...]:
    """Additional training and evaluation data of 2022 and later; the domains of the test are not disclosed."""
    return tuple(
        count
        for machine in machines.split()
        for section in ids.split()
        for count in (
            Count(machine, "training", 990, section, "source"),
            Count(machine, "training", 10, section, "target"),
            Count(machine, "test", 200, section),
        )
    )


def _target(machines: str, ids: str) -> tuple[Count, ...]:
    """Target clips for training in 2021."""
    return tuple(
        Count(machine, "training", 3, section, "target") for machine in machines.split() for section in ids.split()
    )


# Normal and anomalous clips of MIMII by ID.
_MIMII = {
    "fan": {"00": (1011, 407), "02": (1016, 359), "04": (1033, 348), "06": (1015, 361)},
    "pump": {"00": (1006, 143), "02": (1005, 111), "04": (702, 100), "06": (1036, 102)},
    "slider": {"00": (1068, 356), "02": (1068, 267), "04": (534, 178), "06": (534, 89)},
    "valve": {"00": (991, 119), "02": (708, 120), "04": (1000, 120), "06": (992, 120)},
}
_N_TEST_2020 = 100  # normal test clips per ID of MIMII
_TOY_CAR_2020 = {"01": 264, "02": 265, "03": 265, "04": 265}  # anomalies
_URBAN = {
    **dict.fromkeys(("air_conditioner", "children_playing", "dog_bark", "drilling", "engine_idling"), 1000),
    **dict.fromkeys(("jackhammer", "street_music"), 1000),
    "car_horn": 429,
    "gun_shot": 374,
    "siren": 929,
}


def _mimii() -> tuple[Count, ...]:
    return tuple(
        Count(machine, kind, number, machine_id)
        for machine, ids in _MIMII.items()
        for machine_id, numbers in ids.items()
        for kind, number in zip(("normal", "anomaly"), numbers, strict=True)
    )


def _dcase2020() -> tuple[Count, ...]:
    of_mimii = {
        (machine, machine_id): (normal - _N_TEST_2020, _N_TEST_2020, anomalies)
        for machine, ids in _MIMII.items()
        for machine_id, (normal, anomalies) in ids.items()
    }
    of_toys = {("ToyCar", machine_id): (1000, 350, anomalies) for machine_id, anomalies in _TOY_CAR_2020.items()}
    counts = tuple(
        Count(machine, kind, number, machine_id)
        for (machine, machine_id), numbers in (of_mimii | of_toys).items()
        for kind, number in zip(("training", "test normal", "test anomaly"), numbers, strict=True)
    )
    return (*counts, Count("ToyConveyor", "training", 3000), Count("ToyConveyor", "test", 3509))


_OF_2021 = "ToyCar ToyTrain fan gearbox pump slider valve"
_OF_2022 = "ToyCar ToyTrain bearing fan gearbox slider valve"

SHEETS: Mapping[str, FactSheet] = {
    "dcase2020": FactSheet(
        "DCASE 2020 Task 2",
        "Zenodo 3678171, 3727685, 3841772",
        "CC BY-NC-SA 4.0",
        "Koizumi et al. 2020, arXiv 2006.05822",
        {"dev": _dcase2020()},
    ),
    "dcase2021": FactSheet(
        "DCASE 2021 Task 2",
        "Zenodo 4562016, 4660992, 4884786",
        "licence of the records",
        "Kawaguchi et al. 2021, arXiv 2106.04492",
        {"dev": _target(_OF_2021, "00 01 02"), "eval": _target(_OF_2021, "03 04 05")},
    ),
    "dcase2022": FactSheet(
        "DCASE 2022 Task 2",
        "Zenodo 6355122, 6462969, 6586456",
        "licence of the records",
        "Dohi et al. 2022, arXiv 2206.05876",
        {"dev": _sections(_OF_2022, "00 01 02"), "eval": _evaluation(_OF_2022, "03 04 05")},
    ),
    "dcase2023": FactSheet(
        "DCASE 2023 Task 2",
        "Zenodo 7882613, 7830345, 7860847",
        "CC BY 4.0",
        "Dohi et al. 2023, arXiv 2305.07828",
        {"dev": _sections(_OF_2022), "eval": _evaluation("ToyDrone ToyNscale ToyTank Vacuum bandsaw grinder shaker")},
    ),
    "dcase2024": FactSheet(
        "DCASE 2024 Task 2",
        "Zenodo 10902294, 11259435, 11363076",
        "licence of the records",
        "Nishida et al. 2024, arXiv 2406.07250",
        {
            "dev": _sections(_OF_2022),
            "eval": _evaluation(
                "3DPrinter AirCompressor BrushlessMotor HairDryer HoveringDrone RoboticArm Scanner ToothBrush "
                "ToyCircuit"
            ),
        },
    ),
    "dcase2025": FactSheet(
        "DCASE 2025 Task 2",
        "Zenodo 15097779, 15392814, 15519362",
        "licence of the records",
        "Nishida et al. 2025, arXiv 2506.10097",
        {
            "dev": _sections(_OF_2022),
            "eval": _evaluation("AutoTrash BandSealer CoffeeGrinder HomeCamera Polisher ScrewFeeder ToyPet ToyRCCar"),
        },
    ),
    "dcase2026": FactSheet(
        "DCASE 2026 Task 2",
        "Zenodo 19336329, 20151556, 20437238",
        "licence of the records",
        "Nishida et al. 2026, arXiv 2606.01578",
        {
            "dev": _sections("ToyCar ToyCarEmu bearingEmu fan gearboxEmu sliderEmu valveEmu"),
            "eval": _evaluation("BlowerDustCollector Sander SewingMachine ToothBrush ToyDrone"),
        },
    ),
    "mimii": FactSheet(
        "MIMII", "Zenodo 3384388", "CC BY-SA 4.0", "Purohit et al. 2019, arXiv 1909.09347", {"dev": _mimii()}
    ),
    "mimii_due": FactSheet(
        "MIMII DUE", "Zenodo 4740355", "licence of the record", "Tanabe et al. 2021, arXiv 2105.02702"
    ),
    "mimii_dg": FactSheet(
        "MIMII DG",
        "Zenodo 6529888",
        "licence of the record",
        "Dohi et al. 2022, arXiv 2205.13879",
        {"dev": _sections("bearing fan gearbox slider valve", "00 01 02")},
    ),
    "toyadmos": FactSheet(
        "ToyADMOS", "Zenodo 3351307", "licence of the record", "Koizumi et al. 2019, arXiv 1908.03299"
    ),
    "urbansound8k": FactSheet(
        "UrbanSound8K",
        "Zenodo 1203745",
        "CC BY-NC 3.0",
        "Salamon, Jacoby, Bello 2014, doi 10.1145/2647868.2655045",
        {"dev": tuple(Count(name, "normal", number) for name, number in _URBAN.items())},
    ),
    "esc50": FactSheet(
        "ESC-50",
        "github.com/karolpiczak/ESC-50",
        "CC BY-NC 3.0",
        "Piczak 2015, doi 10.1145/2733373.2806390",
        {"dev": (Count("", "normal", 40),)},
    ),
}
