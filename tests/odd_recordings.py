"""Recordings as recorders, editors, pipes and networks leave them, by name, with what each of them must get.

They all hold the same two seconds, unless their names say otherwise.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soundfile
from conftest import SAMPLE_RATE, tone

WHOLE = np.round(tone(2) * 32768).astype("<i2")  # the sound of `plain.wav`, which 16 bits hold to the last digit
DATA = WHOLE.tobytes()
HALF = len(DATA) // 2
OPEN = 0xFFFFFFFF

PLAIN = "plain"  # the score of plain.wav
SAME = "same"  # a score of its own, of two seconds: another channel, or a lossy format


@dataclass(frozen=True)
class Case:
    """A file, and its score or the words of its refusal, as a regular expression."""

    content: bytes
    expected: str


def chunk(name: bytes, content: bytes, size: int | None = None, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content) if size is None else size) + content


def fmt(code: int = 1, bits: int = 16, channels: int = 1, rate: int = SAMPLE_RATE, block: int | None = None) -> bytes:
    width = channels * ((bits + 7) // 8) if block is None else block
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * width % 2**32, width, bits))


def extensible(bits: int, valid: int, channels: int = 1) -> bytes:
    plain = fmt(0xFFFE, bits, channels)[8:]
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    return chunk(b"fmt ", plain + struct.pack("<HHI", 22, valid, 0) + guid)


def wav(*chunks: bytes, size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I", len(body) if size is None else size) + body


def data(content: bytes = DATA, size: int | None = None) -> bytes:
    return chunk(b"data", content, size)


def rf64(declared: int, magic: bytes = b"RF64") -> bytes:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", declared + 72, declared, declared // 2, 0))
    return wav(ds64, fmt(), data(size=OPEN), size=OPEN, magic=magic)


def written(form: str, subtype: str = "PCM_16", sound: np.ndarray = WHOLE, rate: int = SAMPLE_RATE) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, format=form, subtype=subtype)
    return stream.getvalue()


def changed(content: bytes, *changes: tuple[int, bytes]) -> bytes:
    """Other bytes at some places."""
    result = bytearray(content)
    for place, value in changes:
        result[place : place + len(value)] = value
    return bytes(result)


def title(size: int) -> bytes:
    """An ID3v2 tag."""
    return b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def mp3_frames(stream: bytes) -> list[bytes]:
    """The frames of an MP3 at 16 kHz (MPEG 2): 72 bytes per kbit/s and kHz."""
    kilobits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    frames, place = [], 0
    while place < len(stream):
        size = 72 * kilobits[stream[place + 2] >> 4] // 16 + (stream[place + 2] >> 1 & 1)
        frames.append(stream[place : place + size])
        place += size
    return frames


def waves() -> dict[str, Case]:
    """WAV and its relatives."""
    software = chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf58.76.100\0")
    odd = chunk(b"LIST", b"INFOICMT\x05\0\0\0abcde")
    deep = WHOLE.astype("<i4") << 16
    as_float = WHOLE / 32768
    two = np.stack([WHOLE, 0 * WHOLE], axis=1)
    rifx = struct.pack(">4sI4s4sIHHIIHH", b"RIFX", 36 + len(DATA), b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    cut, more, pipe = "the file is cut off after", "header counts fewer than the file holds", wav(fmt(), data())
    return {
        "plain.wav": Case(pipe, PLAIN),
        "extensible.wav": Case(wav(extensible(16, 16), data()), PLAIN),
        "24_bits.wav": Case(wav(fmt(bits=24), data(deep.view("u1").reshape(-1, 4)[:, 1:].tobytes())), PLAIN),
        "24_of_32_bits.wav": Case(wav(extensible(32, 24), data(deep.tobytes())), PLAIN),
        "32_bits.wav": Case(wav(fmt(bits=32), data(deep.tobytes())), PLAIN),
        "float.wav": Case(wav(fmt(3, 32), data(as_float.astype("<f4").tobytes())), PLAIN),
        "double.wav": Case(wav(fmt(3, 64), data(as_float.astype("<f8").tobytes())), PLAIN),
        "8_bits.wav": Case(wav(fmt(bits=8), data((WHOLE // 256 + 128).astype("u1").tobytes())), SAME),
        "12_of_16_bits.wav": Case(wav(fmt(bits=12, block=2), data()), PLAIN),
        "left_of_two.wav": Case(wav(fmt(channels=2), data(two.tobytes())), PLAIN),
        "eight_channels.wav": Case(wav(extensible(16, 16, 8), data(WHOLE.repeat(8).tobytes())), PLAIN),
        "list_before.wav": Case(wav(fmt(), software, data()), PLAIN),
        "odd_list_padded.wav": Case(wav(fmt(), odd + b"\0", data()), PLAIN),
        "odd_list_unpadded.wav": Case(wav(fmt(), odd, data()), PLAIN),
        "broadcast.wav": Case(wav(chunk(b"bext", b"A" * 642), fmt(), data()), PLAIN),
        "large_xml.wav": Case(wav(fmt(), chunk(b"iXML", b" " * 2_000_000), data()), PLAIN),
        "list_after.wav": Case(wav(fmt(), data(), software), PLAIN),
        "cut_list_after.wav": Case(wav(fmt(), data(), chunk(b"LIST", b"INFO" + b"x" * 3000, 9000)), PLAIN),
        "guano_after.wav": Case(wav(fmt(), data(), chunk(b"guan", "GUANO|Version: 1.0\nÖ".encode())), PLAIN),
        "unknown_chunk_after.wav": Case(wav(fmt(), data(), chunk(b"LGWV", b"\xff" * 5000)), PLAIN),
        "id3_after.wav": Case(wav(fmt(), data(), chunk(b"id3 ", title(0))), PLAIN),
        "id3_before.wav": Case(title(100) + pipe, PLAIN),
        "pipe_0.wav": Case(wav(fmt(), data(size=0), size=36), PLAIN),
        "pipe_ffffffff.wav": Case(wav(fmt(), data(size=OPEN), size=OPEN), PLAIN),
        "pipe_7ffff000.wav": Case(wav(fmt(), data(size=0x7FFFF000), size=0x7FFFF024), PLAIN),
        "pipe_7fffff00.wav": Case(wav(fmt(), data(size=0x7FFFFF00), size=0x7FFFFF24), PLAIN),
        "pipe_of_ffmpeg.wav": Case(wav(fmt(), software, data(size=OPEN), size=OPEN), PLAIN),
        "outer_size_0.wav": Case(wav(fmt(), data(), size=0), PLAIN),
        "outer_size_8_more.wav": Case(wav(fmt(), data(), size=44 + len(DATA)), PLAIN),
        "reserved_and_cut.wav": Case(wav(fmt(), data(size=320000), size=320036), cut),
        "cut_of_3_gigabytes.wav": Case(wav(fmt(), data(size=3 * 10**9), size=3 * 10**9 + 36), cut),
        "header_counts_half.wav": Case(wav(fmt(), data(size=HALF), size=36 + HALF), more),
        "two_files.wav": Case(pipe + pipe, "several sound files or streams are joined"),
        "two_data_chunks.wav": Case(wav(fmt(), data(DATA[:HALF]), data(DATA[HALF:])), "one `data` chunk"),
        "list_of_data_chunks.wav": Case(wav(fmt(), chunk(b"LIST", b"wavl" + data())), "no `data` chunk"),
        "data_before_fmt.wav": Case(wav(data(), fmt()), PLAIN),
        "garbage_after.wav": Case(pipe + b"\xde\xad\xbe\xef" * 100, PLAIN),
        "zeros_after.wav": Case(pipe + bytes(40960), PLAIN),
        "odd_data.wav": Case(wav(fmt(), data(DATA + b"\1") + b"\0"), PLAIN),
        "odd_data_unpadded.wav": Case(wav(fmt(), data(DATA + b"\1")), PLAIN),
        "byte_rate_0.wav": Case(changed(pipe, (28, bytes(4))), PLAIN),
        "block_0.wav": Case(wav(fmt(block=0), data()), PLAIN),
        "block_4.wav": Case(wav(fmt(block=4), data()), PLAIN),
        "rate_0.wav": Case(wav(fmt(rate=0), data()), "makes sense. Received: 1 channels, 0 Hz"),
        "no_channels.wav": Case(wav(fmt(channels=0), data()), "makes sense. Received: 0 channels"),
        "no_samples.wav": Case(wav(fmt(), data(b"")), "holds no samples"),
        "rifx.wav": Case(rifx + chunk(b"data", WHOLE.astype(">i2").tobytes(), order=">"), PLAIN),
        "rf64.wav": Case(rf64(len(DATA)), PLAIN),
        "bw64.wav": Case(rf64(len(DATA), b"BW64"), PLAIN),
        "rf64_cut.wav": Case(rf64(320000), cut),
        "rf64_cut_of_3_gigabytes.wav": Case(rf64(3 * 10**9), cut),
        "rf64_open.wav": Case(rf64(0), PLAIN),
        "mu_law.wav": Case(written("WAV", "ULAW"), SAME),
        "a_law.wav": Case(written("WAV", "ALAW"), SAME),
        "ima_adpcm.wav": Case(written("WAV", "IMA_ADPCM"), SAME),
        "ms_adpcm.wav": Case(written("WAV", "MS_ADPCM"), SAME),
        "gsm.wav": Case(written("WAV", "GSM610"), SAME),
        "mp3_inside.wav": Case(wav(fmt(0x55, 0), data(written("MP3", "MPEG_LAYER_III"))), SAME),
        "half_an_mp3_inside.wav": Case(wav(fmt(0x55, 0), data(written("MP3", "MPEG_LAYER_III")[:4000])), "cut off"),
    }


def containers() -> dict[str, Case]:
    """AIFF, W64, CAF and AU."""
    aiff, w64, caf, au = (written(form) for form in ("AIFF", "W64", "CAF", "AU"))
    ssnd, caf_size, w64_size = aiff.index(b"SSND") + 4, caf.index(b"data") + 4, w64.index(b"data") + 16
    cut, more = "the file is cut off after", "header counts fewer than the file holds"
    half_64 = struct.pack("<Q", 24 + HALF)
    return {
        "aiff.aiff": Case(aiff, PLAIN),
        "aiff_float.aif": Case(written("AIFF", "FLOAT", WHOLE / 32768), PLAIN),
        "aiff_open.aiff": Case(changed(aiff, (ssnd, bytes(4))), PLAIN),
        "aiff_cut.aiff": Case(aiff[:-HALF], cut),
        "aiff_cut_and_open.aiff": Case(changed(aiff, (ssnd, bytes(4)))[:-HALF], cut),
        "aiff_counts_half.aiff": Case(changed(aiff, (ssnd, struct.pack(">I", 8 + HALF))), f"{cut}|{more}"),
        "w64.w64": Case(w64, PLAIN),
        "w64_cut.w64": Case(w64[:-HALF], cut),
        "w64_open.w64": Case(changed(w64, (w64_size, b"\xff" * 8)), PLAIN),
        "w64_pipe_of_ffmpeg.w64": Case(changed(w64, (w64_size, b"\xff" * 7 + b"\x7f")), PLAIN),
        "w64_counts_half.w64": Case(changed(w64, (w64_size, half_64)), more),
        "caf.caf": Case(caf, PLAIN),
        "caf_cut.caf": Case(caf[:-HALF], cut),
        "caf_open.caf": Case(changed(caf, (caf_size, b"\xff" * 8)), PLAIN),
        "caf_counts_half.caf": Case(changed(caf, (caf_size, struct.pack(">Q", 4 + HALF))), more),
        "au.au": Case(au, PLAIN),
        "au_cut.au": Case(au[:-HALF], cut),
        "au_open.au": Case(changed(au, (8, b"\xff" * 4)), PLAIN),
        "au_counts_half.au": Case(changed(au, (8, struct.pack(">I", HALF))), more),
    }


def compressed() -> dict[str, Case]:
    """MP3, Ogg and FLAC."""
    mp3, vorbis, opus = written("MP3", "MPEG_LAYER_III"), written("OGG", "VORBIS"), written("OGG", "OPUS")
    frames = mp3_frames(mp3)
    bare, half = b"".join(frames[1:]), b"".join(frames[: len(frames) // 2])
    middle = vorbis.rindex(b"OggS", 0, len(vorbis) // 2)
    after = vorbis.index(b"OggS", middle + 4)
    flac = written("FLAC")
    packed = bytes([flac[21] & 0xF0, 0, 0, 0, 0])
    piped = changed(flac, (21, packed), (26, bytes(16)))  # neither a total of samples nor their checksum
    unknown, several, damaged = "shows whether a file is whole, not MP3", "are joined in this one", "is damaged"
    return {
        "mp3.mp3": Case(mp3, SAME),
        "mp3_named.wav": Case(mp3, SAME),
        "mp3_titled.mp3": Case(title(300_000) + mp3 + b"TAG" + b"a" * 125, SAME),
        "mp3_uncounted.mp3": Case(bare, unknown),
        "mp3_uncounted_half.mp3": Case(b"".join(frames[1 : len(frames) // 2]), unknown),
        "mp3_cut.mp3": Case(half, "the file is cut off"),
        "mp3_cut_in_a_frame.mp3": Case(half[:-10], "the file is cut off"),
        "mp3_twice.mp3": Case(mp3 + mp3, several),
        "mp3_twice_titled.mp3": Case(mp3 + title(50) + mp3, several),
        "mp3_and_more.mp3": Case(mp3 + bare, several),
        "vorbis.ogg": Case(vorbis, SAME),
        "opus.opus": Case(opus, SAME),
        "ogg_twice.ogg": Case(vorbis + opus, several),
        "ogg_cut.ogg": Case(vorbis[:after], "cut off"),
        "ogg_cut_in_a_page.ogg": Case(vorbis[: after - 9], "cut off"),
        "ogg_without_a_page.ogg": Case(vorbis[:middle] + vorbis[after:], "pages are missing"),
        "ogg_bit_flipped.ogg": Case(changed(vorbis, (after - 9, bytes([vorbis[after - 9] ^ 4]))), damaged),
        "flac.flac": Case(flac, PLAIN),
        "flac_named.wav": Case(flac, PLAIN),
        "flac_24.flac": Case(written("FLAC", "PCM_24", WHOLE / 32768), PLAIN),
        "flac_titled.flac": Case(title(200) + flac, PLAIN),
        "flac_open.flac": Case(piped, PLAIN),
        "flac_open_cut.flac": Case(piped[: len(piped) // 2], "cut off"),
        "flac_cut.flac": Case(flac[: len(flac) // 2], "cut off"),
        "flac_twice.flac": Case(flac + flac, several),
        "flac_bit_flipped.flac": Case(changed(flac, (20000, bytes([flac[20000] ^ 16]))), damaged + "|damaged, or"),
        "flac_other_checksum.flac": Case(changed(flac, (26, b"\1" * 16)), damaged),
    }


def others() -> dict[str, Case]:
    """Files that are no recordings, that can't be checked, or that can't be scored."""
    no_numbers = (WHOLE / 32768).astype("f4")
    no_numbers[100] = np.nan
    none = "a file that is none of these"
    return {
        "nist.wav": Case(written("NIST"), "shows whether a file is whole, not NIST"),
        "voc.wav": Case(written("VOC"), "shows whether a file is whole, not VOC"),
        "svx.wav": Case(written("SVX"), none),
        "empty.wav": Case(b"", "it is empty"),
        "zeros.wav": Case(bytes(44), none),
        "html.wav": Case(b"<!DOCTYPE html><html>404</html>", none),
        "header_alone.wav": Case(wav(fmt(), data())[:44], "cut off after 0"),
        "header_cut.wav": Case(wav(fmt(), data())[:30], "cut off before its samples"),
        "8_khz.wav": Case(written("WAV", rate=8000), "expected a sample rate of 16000 Hz, received 8000"),
        "short.wav": Case(written("WAV", sound=WHOLE[:2047]), "expected at least 2048 samples, received 2047"),
        "not_a_number.wav": Case(written("WAV", "FLOAT", no_numbers), "1 of 32000 samples are NaN"),
        "whole_numbers.wav": Case(written("WAV", "FLOAT", WHOLE.astype("f4")), "expected samples from -1 to 1"),
    }


WRITERS: tuple[Callable[[], dict[str, Case]], ...] = (waves, containers, compressed, others)


def cases() -> dict[str, Case]:
    """Every odd recording by file name."""
    return {name: case for writer in WRITERS for name, case in writer().items()}
