"""From a clip to its findings, the most telling first."""

import numpy as np

from ganad_tf.findings import kinds
from ganad_tf.findings.evidence import Evidence
from ganad_tf.findings.finding import UNCLEAR, Finding
from ganad_tf.findings.healthy import Healthy

MOST = 3  # findings of a clip


def explain(known: Healthy, log_mel: np.ndarray, samples: np.ndarray | None = None) -> list[Finding]:
    """Finds out how a clip differs from the healthy machine.

    Args:
      known: Sound of the healthy machine.
      log_mel: `[frames, mels]` in dB.
      samples: The clip `[samples]`; without it, tones are bands and rates are coarse.

    Returns:
      At most `MOST` findings, the most telling first; `unclear` alone if nothing stands out.
    """
    clip = Evidence.gather(known, log_mel, samples)
    left = np.ones(log_mel.shape[1], bool)
    findings: list[tuple[float, Finding]] = []
    for find in (kinds.bursts, kinds.tones, kinds.louder_bands, kinds.quieter_bands, kinds.level):
        for found, explained in find(clip, left):
            left = left & ~explained
            findings.append((clip.weight(found.kind == "level", explained), found))
    findings.sort(key=lambda pair: -pair[0])
    return [found for _, found in findings[:MOST]] or [UNCLEAR]
