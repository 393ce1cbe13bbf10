"""Remarks on recordings that are resampled, by the rates in their headers."""

from collections import Counter
from collections.abc import Iterator

from ganad_tf.audio import lengths
from ganad_tf.run import MachineRun


def lines(run: MachineRun) -> Iterator[str]:
    """Yields a line per rate that lacks high frequencies or is not that of the other recordings of a machine type.

    Without `audio.resample` there are none: recordings at other rates are errors. Those in an object store are not
    fetched for it.
    """
    settings = run.config.audio
    if not settings.resample or run.config.dataset.name == "imported":
        return
    paths = sorted({run.listing.directory / clip.file for clip in run.listing.clips})
    rates = Counter(lengths.in_headers(lengths.sample_rate, paths))
    for rate, count in sorted(rates.items()):
        if rate == settings.sample_rate or (rate > settings.sample_rate and len(rates) == 1):
            continue
        which = f"{count} of {len(paths)} recordings {'is' if count == 1 else 'are'}"
        lack = f"; they have nothing above {rate / 2000:g} kHz" if rate < settings.sample_rate else ""
        yield f"{run.machine}: {which} at {rate} Hz and resampled to {settings.sample_rate} Hz{lack}."
