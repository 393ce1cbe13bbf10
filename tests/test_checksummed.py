"""Checksums: no change of a file or of a setting goes unnoticed, and nothing else looks like one."""

import hashlib

import pytest

from ganad_tf.files import checksummed

BODY = {"entries": [{"file": "größe/a.wav", "frames": 313, "rate": 1e-05}], "is_complete": True, "none": None}


def test_what_was_written_is_read():
    assert checksummed.load("manifest", checksummed.dump("manifest", BODY)) == BODY


def test_every_changed_byte_is_seen():
    text = checksummed.dump("manifest", BODY).encode()
    unseen = []
    for position in range(len(text)):
        for bit in (1, 2, 32):
            changed = bytearray(text)
            changed[position] ^= bit
            try:
                body = checksummed.load("manifest", changed.decode())
            except checksummed.READ_ERRORS:
                continue
            if body != BODY:  # `1E-05` is `1e-05`
                unseen.append((position, bit))
    assert not unseen


def test_every_cut_is_seen():
    text = checksummed.dump("manifest", BODY).rstrip("\n")
    for length in range(len(text)):
        with pytest.raises(checksummed.READ_ERRORS):
            checksummed.load("manifest", text[:length])


def test_a_body_of_another_kind_is_refused():
    with pytest.raises(checksummed.READ_ERRORS):
        checksummed.load("scores", checksummed.dump("manifest", BODY))


def test_a_fingerprint_is_of_values_and_not_of_their_order():
    values = [{"a": 1, "b": [1, 2]}, {"a": 1, "b": [2, 1]}, {"a": "1", "b": [1, 2]}, {"a": 1}, {"a": None}, [], {}]
    assert len({checksummed.fingerprint(value) for value in values}) == len(values)
    assert checksummed.fingerprint({"b": [1, 2], "a": 1}) == checksummed.fingerprint(values[0])
    assert len(checksummed.fingerprint(values[0], digits=8)) == 8


def test_a_file_s_checksum_is_of_all_its_bytes(tmp_path):
    path = tmp_path / "a.wav"
    content = bytes(range(256)) * 5000  # more than is read at once
    path.write_bytes(content)
    before = checksummed.file_checksum(path)
    assert before == hashlib.sha256(content).hexdigest()
    path.write_bytes(content[:-1] + b"x")
    assert checksummed.file_checksum(path) != before
    with pytest.raises(OSError, match="none"):
        checksummed.file_checksum(tmp_path / "none")
