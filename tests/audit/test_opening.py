"""A recording as it lies there: hashed, unpacked, in lines."""

import gzip
import hashlib
import json
import sys
from itertools import islice
from random import Random

import pytest

from storehop.audit import recordings
from storehop.audit.exchange import AUTO, FORMATS, Asked, Exchange, RecordingError, Unreadable
from storehop.audit.readers.lines import MAX_LINE_BYTES
from storehop.audit.readers.rows import sampled
from storehop.audit.recordings import open_recording
from tests.support.recordings import LINK, exchanges, opened, stand_in_stdin

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LINE = json.dumps({"location": LINK}).encode() + b"\n"


def lines(count):
    """Lines that don't pack well."""
    random = Random(7)
    return b"".join(
        json.dumps({"location": LINK, "user_agent": random.randbytes(40).hex()}).encode() + b"\n" for _ in range(count)
    )


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(lambda data: data, id="as it is"),
        pytest.param(gzip.compress, id="gz"),
        pytest.param(lambda data: gzip.compress(data[:300]) + gzip.compress(data[300:]), id="gz of two members"),
        pytest.param(lambda data: gzip.compress(data) + b"\0" * 512, id="gz, padded"),
        pytest.param(zstd.compress, id="zst"),
        pytest.param(lambda data: zstd.compress(data[:300]) + zstd.compress(data[300:]), id="zst of two frames"),
        pytest.param(lambda data: b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(data), id="zst, with a note"),
    ],
)
@pytest.mark.parametrize("is_stdin", [False, True], ids=["file", "stdin"])
def test_a_packed_recording_is_told_by_its_bytes(packed, is_stdin, tmp_path, monkeypatch):
    """Whatever its name is, and from stdin; the hash is of the bytes as they lie there."""
    content = packed(lines(2000))
    if is_stdin:
        stand_in_stdin(monkeypatch, content)
        recording = open_recording("-", Asked())
    else:
        recording = opened(tmp_path, content, "access.log")

    assert len(list(recording)) == 2000
    assert recording.sha256 == hashlib.sha256(content).hexdigest()
    assert not recording.is_truncated
    assert recording.read_bytes == len(content)
    assert recording.total_bytes == (None if is_stdin else len(content))
    assert recording.name == ("-" if is_stdin else "access.log")


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gz", "zst"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.9999])
def test_a_truncated_recording_gives_what_stood_before(pack, kept, tmp_path):
    """It ends nowhere in particular: that is said, and the hash is still of the whole file."""
    packed = pack(lines(5000))
    content = packed[: int(len(packed) * kept)]
    recording = opened(tmp_path, content)

    found = [one for one in recording if isinstance(one, Exchange)]

    assert 0 < len(found) < 5000
    assert recording.is_truncated
    assert recording.sha256 == hashlib.sha256(content).hexdigest()


def zstd_as_the_program_does(data):
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


@pytest.mark.parametrize("pack", [gzip.compress, zstd_as_the_program_does], ids=["gz", "zst"])
def test_a_recording_broken_in_the_middle_gives_what_stood_before(pack, tmp_path):
    """Bytes that were changed on a disk end the reading, not the run."""
    content = bytearray(pack(lines(20_000)))
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xff" * 64
    recording = opened(tmp_path, bytes(content))

    assert len(list(recording)) > 1000
    assert recording.is_truncated
    assert recording.sha256 == hashlib.sha256(content).hexdigest()


def test_what_stands_behind_the_packed_part_is_left_out_and_said(tmp_path):
    """As gzip does it, with a remark."""
    recording = opened(tmp_path, gzip.compress(LINE) + b"something else")

    assert len(list(recording)) == 1
    assert recording.remarks == ("what follows behind the packed part was left out",)


def test_much_of_the_same_is_unpacked_piece_by_piece(tmp_path):
    """A line of 300 MB, packed into a few kB, is one broken line."""
    content = zstd.compress(LINE + b"\0" * 300_000_000 + b"\n" + LINE)
    first, broken, last = opened(tmp_path, content)

    assert (first.link, last.link) == (LINK, LINK)
    assert isinstance(broken, Unreadable)
    assert (broken.place, last.place) == (2, 3)


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", gzip.compress(b""), b"\xef\xbb\xbf"], ids=["nothing", "blanks", "packed", "a mark"]
)
def test_an_empty_recording_is_one_without_exchanges(content, tmp_path):
    """A log that was rotated just now is no mistake."""
    recording = opened(tmp_path, content)

    assert recording.format == "empty"
    assert list(recording) == []
    assert recording.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"\x1f\x8bnonsense", "can't be unpacked", id="no gz"),
        pytest.param(b"\x28\xb5\x2f\xfd" + b"\x08" * 20, "can't be unpacked", id="no zst"),
        pytest.param("link\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8", id="UTF-16"),
        pytest.param(b"hello\nworld\n", "nobody knows what this is", id="words"),
        pytest.param(b"PK\x03\x04\x14\0\x08\0" * 9, "unpack it", id="zip"),
    ],
)
def test_what_nobody_can_read_is_refused_in_words(content, words, tmp_path):
    """The message names the file and says what was expected."""
    with pytest.raises(RecordingError, match=words) as refusal:
        opened(tmp_path, content, "yesterday.log")

    assert str(refusal.value).startswith("yesterday.log: ")
    assert str(refusal.value).count("yesterday.log") == 1


@pytest.mark.parametrize("name", ["missing.log", "", "a\0b"])
def test_a_file_that_can_not_be_opened_is_refused(name, tmp_path):
    """Missing, a folder, no name at all."""
    with pytest.raises(RecordingError):
        open_recording(f"{tmp_path}/{name}", Asked())


def test_an_unknown_format_is_refused_with_those_that_there_are():
    """As `--format` is checked."""
    with pytest.raises(RecordingError, match=r"expected one of auto, mitm, har, .*jsonl"):
        open_recording("-", Asked(format="xml"))

    assert {"auto", "mitm", "har", "jsonl", "csv", "tsv", "combined", "nginx", "apache", "haproxy"} <= set(FORMATS)


def test_endings_marks_and_bytes_that_are_no_text_are_lines_all_the_same(tmp_path):
    """A byte order mark, CRLF, blank lines, NUL, broken UTF-8, no newline at the end."""
    content = b"\xef\xbb\xbf" + LINE[:-1] + b"\r\n\r\n" + b'{"location":"/\xff","user_agent":"a\0b"}\n' + LINE[:-1]
    first, second, third = exchanges(tmp_path, content)

    assert (first.place, first.link) == (1, LINK)
    assert (second.place, second.link, second.headers["user-agent"]) == (3, "/\udcff", "a\0b")
    assert (third.place, third.link) == (4, LINK)


@pytest.mark.parametrize("end", [b" ", b"\t\r", b"\r\n \r"])
def test_blanks_at_the_end_are_no_line(end, tmp_path):
    """With or without a newline behind them."""
    assert len(exchanges(tmp_path, LINE + end)) == 1


@pytest.mark.parametrize("length", [MAX_LINE_BYTES + 1, MAX_LINE_BYTES * 3])
@pytest.mark.parametrize("behind", [LINE, b""], ids=["in the middle", "at the end"])
def test_a_line_that_is_too_long_is_skipped(length, behind, tmp_path):
    """It is counted as one broken line, and the next one is read."""
    found = list(opened(tmp_path, LINE + b"x" * length + b"\n" + behind))

    assert found[1] == Unreadable(2, "the line is longer than 1,048,576 bytes")
    assert [one.place for one in found] == [1, 2, 3][: len(found)]
    assert len(found) == 2 + bool(behind)


def test_a_long_line_within_the_limit_is_read(tmp_path):
    """One of half a megabyte."""
    _, exchange = exchanges(tmp_path, LINE + json.dumps({"location": LINK + "x" * 500_000}).encode())

    assert exchange.link == LINK + "x" * 500_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\x14\0\x06\0[Content_Types].xml", "Excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 9, "Excel"),
        (b"BZh91AY&SY" * 9, "bzip2 -dc"),
        (b"\xfd7zXZ\0\0\4" * 9, "xz -dc"),
        (b"PAR1\x15\0" * 9, "CSV or JSON lines"),
        (b"Obj\x01\x04\x14" * 9, "CSV or JSON lines"),
        ("click_url;ip\nhttps://app.appsflyer.com/x;1.2.3.4\n".encode("utf-16-le"), "iconv -f UTF-16LE"),
        ("click_url;ip\nhttps://app.appsflyer.com/x;1.2.3.4\n".encode("utf-16-be"), "iconv -f UTF-16BE"),
        (b"<!doctype html><a href=https://app.appsflyer.com/x>\n" * 3, "nobody knows what this is"),
        (b"<?xml version='1.0'?><link>https://app.appsflyer.com/x</link>\n" * 3, "nobody knows what this is"),
    ],
    ids=["xlsx", "xls", "bz2", "xz", "parquet", "avro", "UTF-16LE", "UTF-16BE", "html", "xml"],
)
def test_what_other_programs_save_is_named_with_what_to_do(content, words, tmp_path):
    """Workbooks, archives, warehouses' own formats and UTF-16 without its mark; pages are no tables."""
    with pytest.raises(RecordingError, match=words):
        opened(tmp_path, content)


def test_each_name_of_a_format_has_a_reader():
    """The command line names them without importing the readers."""
    assert set(FORMATS) == {AUTO, *(one.name for one in recordings._FORMATS), *recordings._LOGGERS}


def test_long_lines_are_few_in_the_sample():
    """A log may hold bodies: 8 million characters are looked at before the first line is read, not 1,000 lines."""
    lines = ((place, {"body": "x" * 1_000_000}) for place in range(1, 1001))
    first, everything = sampled(lines)

    assert len(first) == 9
    assert [1, 2, 3] == [place for place, _ in islice(everything, 3)]
