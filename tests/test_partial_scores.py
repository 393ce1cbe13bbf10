"""Scores of an interrupted pass: taken over if they are sound and of the same settings, else begun again."""

import pytest

from ganad_tf.scoring.partial_scores import PartialScores

MADE_WITH = {"seed": 0, "hidden": (16, 16)}


@pytest.fixture
def written(tmp_path):
    """The file of a pass that was interrupted after two clips."""
    path = tmp_path / ".unfinished_dev_fan.json"
    pass_ = PartialScores(path, MADE_WITH, max_share_of_time=1e9)  # written after every clip
    pass_.add("fan/a.wav", [0.1, 1e-17])
    pass_.add("fan/größe.wav", [2.0])
    return path


def read(path, made_with):
    again = PartialScores(path, made_with)
    again.read()
    return again.scores


def test_the_same_pass_goes_on_from_there_to_the_last_digit(written):
    assert read(written, MADE_WITH) == {"fan/a.wav": [0.1, 1e-17], "fan/größe.wav": [2.0]}
    PartialScores(written, MADE_WITH).remove()
    assert not written.exists()
    assert read(written, MADE_WITH) == {}


def test_another_pass_begins_anew(written):
    assert read(written, MADE_WITH | {"seed": 1}) == {}


def test_a_damaged_file_counts_as_none(written):
    good = written.read_bytes()
    for position in range(0, len(good) - 1, 3):
        flipped = bytearray(good)
        flipped[position] ^= 1
        for content in (bytes(flipped), good[:position]):
            written.write_bytes(content)
            assert read(written, MADE_WITH) == {}
