"""Published figures on the DCASE 2020 Task 2 development set, AUC and pAUC in percent, as they were printed."""

from collections.abc import Mapping
from typing import Any

MACHINES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")

# Numbers of test clips, the weights of Table 6 of de Oliveira Neto et al. 2024.
TEST_CLIPS = {"fan": 1875, "pump": 856, "slider": 1290, "ToyCar": 2459, "ToyConveyor": 3509, "valve": 879}


def _row(*areas: tuple[float, float]) -> Mapping[str, tuple[float, float]]:
    return dict(zip(MACHINES, areas, strict=True))


# de Oliveira Neto et al. 2024, Table 7. It names no validation set, so its settings may have been chosen on the
# test clips.
TABLE_7: dict[str, Any] = {
    "DCASE": _row((65.15, 52.59), (72.00, 60.00), (84.00, 66.00), (80.09, 67.22), (72.68, 60.65), (66.00, 50.00)),
    "EGBAD": _row((39.50, 59.40), (31.90, 51.10), (62.00, 53.40), (59.40, 52.60), (32.40, 47.70), (69.80, 57.30)),
    "GANomaly": _row((91.00, 80.00), (86.19, 75.81), (87.16, 85.11), (91.00, 78.10), (88.80, 81.20), (75.00, 53.00)),
    "SKIP-GANomaly": _row(
        (84.00, 84.00), (89.52, 71.04), (90.49, 88.09), (87.41, 67.42), (83.90, 64.60), (86.00, 74.00)
    ),
    "GMADE": _row((82.33, 78.97), (86.94, 79.60), (97.28, 89.54), (95.04, 90.39), (80.67, 65.90), (97.38, 91.21)),
}

# The baseline's own README, and the re-evaluation of IDNN in AE-ASD.
OTHERS: dict[str, Any] = {
    "DCASE (its README)": _row(
        (65.16, 52.59), (72.59, 60.00), (84.99, 66.93), (80.09, 67.22), (72.68, 60.66), (66.46, 50.60)
    ),
    "IDNN (AE-ASD)": _row(
        (65.69, 54.19), (71.75, 60.10), (84.10, 65.94), (78.91, 68.99), (70.55, 59.13), (82.14, 63.99)
    ),
}

# STgram-MFN (Liu et al., ICASSP 2022), as the README of its authors' code prints it (liuyoude/STgram-MFN). The training
# there keeps the epoch with the greatest sum of AUC and pAUC on these test clips.
STGRAM_MFN = "STgram-MFN (its README)"
OTHERS[STGRAM_MFN] = _row(
    (94.04, 88.97), (91.94, 81.75), (99.55, 97.61), (94.44, 87.68), (74.57, 63.60), (99.64, 98.44)
)

# AEGAN-AD (Jiang et al., ICASSP 2023), as the README of its authors' code prints it (jianganbai/AEGAN-AD): the mean of
# AUC and pAUC, which are not published apart. Epoch and one of 19 scores were chosen for each machine type by the
# labels of these test clips.
AEGAN_AD = "AEGAN-AD (its README)"
MEANS_OF_BOTH = {AEGAN_AD: dict(zip(MACHINES, (77.01, 81.26, 86.50, 86.62, 73.27, 77.60), strict=True))}

# TWFR-GMM (Guan et al., ICASSP 2023) has no row: its figures, in liuyoude/TWFR-GMM, are of DCASE 2022 alone, and its
# decays and numbers of components were chosen by labels.

WITH_MACHINE_IDS = ("GMADE (paper)", STGRAM_MFN)  # that are told the machine ID of each clip
CHOSEN_BY_TEST_LABELS = (AEGAN_AD, STGRAM_MFN)

# de Oliveira Neto et al. 2024, Table 6: weighted mean of AUC and of pAUC. Its deviations of AUC are those weighted by
# test clips, but for GANomaly's (4.19 printed, 4.22 from its rows) and SKIP-GANomaly's (3.73 and 2.43); those of pAUC
# do not follow from Table 7.
TABLE_6 = {
    "DCASE": (73.81, 60.47),
    "EGBAD": (46.23, 52.55),
    "GANomaly": (88.16, 78.05),
    "SKIP-GANomaly": (86.11, 72.64),
    "GMADE": (88.02, 79.63),
}
