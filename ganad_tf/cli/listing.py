"""The tables of `ganad list`: clips of each kind, attributes, lengths, and the data set's fact sheet."""

from collections.abc import Collection, Iterator, Sequence

from ganad_tf.audio import lengths
from ganad_tf.clips import Listing, by_id
from ganad_tf.config import Mode
from ganad_tf.datasets.fact_sheets import SHEETS

N_VALUES = 8  # of an attribute


def table(listings: Sequence[Listing]) -> Iterator[str]:
    """Lines of a table: numbers of clips by machine type, machine ID and, where there are domains, domain."""
    clips = [clip for listing in listings for clip in listing.clips]
    has_domains = any(clip.domain for clip in clips)
    has_calibration = any(clip.split == "calibration" for clip in clips)
    domain = f"{'domain':<8}" if has_domains else ""
    calibration = f"{'calibration':>13}" if has_calibration else ""
    yield f"{'machine':<14}{'id':<6}{domain}{'train':>7}{'normal':>8}{'anomaly':>9}{'unlabelled':>12}{calibration}"
    for listing in listings:
        for machine_id, of_id in by_id(listing.clips).items():
            for name in sorted({clip.domain for clip in of_id}):
                kinds = [clip.label if clip.split == "test" else clip.split for clip in of_id if clip.domain == name]
                counts = [kinds.count(kind) for kind in ("train", 0, 1, None)]
                domain = f"{name or '-':<8}" if has_domains else ""
                calibration = f"{kinds.count('calibration'):>13}" if has_calibration else ""
                columns = f"{counts[0]:>7}{counts[1]:>8}{counts[2]:>9}{counts[3]:>12}{calibration}"
                yield f"{listing.machine:<14}{machine_id:<6}{domain}{columns}"


def properties(listings: Sequence[Listing]) -> Iterator[str]:
    """A line per machine type: lengths of its recordings in seconds, by their headers, and values of the attributes."""
    for listing in listings:
        values: dict[str, set[str]] = {}
        for clip in listing.clips:
            for name, value in clip.attributes:
                values.setdefault(name, set()).add(value)
        parts = [_seconds(listing), *(f"{name} {_some(values[name])}" for name in sorted(values))]
        if known := "; ".join(part for part in parts if part):
            yield f"{listing.machine}: {known}"


def facts(name: str, listings: Sequence[Listing], mode: Mode, only: Collection[str] = ()) -> Iterator[str]:
    """Source and licence of a public data set, and whether its published numbers of clips are there."""
    sheet = SHEETS.get(name)
    if sheet is None:
        return
    source = f"{sheet.title} ({sheet.source}; {sheet.licence}; {sheet.citation})"
    differences = sheet.differences(listings, mode, only)
    if not sheet.counts.get(mode):
        yield f"{source}: no exact numbers are published."
    elif differences:
        yield f"{source}: other numbers of clips than published."
        yield from (f"  {line}" for line in differences)
    else:
        yield f"{source}: complete."


def _seconds(listing: Listing) -> str:
    """Shortest and longest length; empty if no header has one, or the files are in an object store."""
    paths = sorted({listing.directory / clip.file for clip in listing.clips})
    known = lengths.in_headers(lengths.seconds, paths)
    if not known:
        return ""
    shortest, longest = f"{min(known):.4g}", f"{max(known):.4g}"
    return f"{shortest} s" if shortest == longest else f"{shortest} to {longest} s"


def _some(values: Collection[str]) -> str:
    """Enumeration of the first values, numbers in their order.

    >>> _some({"16", "8", "A"})
    '8, 16, A'
    """
    ordered = sorted(values, key=lambda value: (not _is_number(value), float(value) if _is_number(value) else 0, value))
    more = len(ordered) - N_VALUES
    return ", ".join(ordered[:N_VALUES]) + (f" and {more} more" if more > 0 else "")


def _is_number(value: str) -> bool:
    return value.replace(".", "", 1).isdecimal()
