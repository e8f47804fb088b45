"""hftbacktest's collector files: every byte and time is taken over, and damage is counted where it stands."""

import gzip
import random
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.format import Kind
from hftcap.capture.reader import open_recording
from hftcap.errors import ImportFailed, Unreadable
from hftcap.interop import source
from hftcap.interop.hftbacktest import parse_line, read_file
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.interop.source import SourceNote, SourceRecord, look

T0 = 1_723_161_253_937_085_768
SNAPSHOT = b'{"lastUpdateId":5,"bids":[["1.0","2.0"]],"asks":[]}'
REAL = [
    "hftbacktest/spot/btcusdt_20240808.gz",
    "hftbacktest/spot/btcusdt_20240809.gz",
    "hftbacktest/spot/ethusdt_20240808.gz",
    "hftbacktest/usdm/btcusdt_20240808.gz",
    "hftbacktest/cm/ethusd_perp_20240808.gz",
    "hftbacktest/cm/ethusd_perp_20240809.gz",
    "microsecond/trxusdt_spot_microsecond_20250304.txt.gz",
]


def diff(number: int, symbol: str = "btcusdt") -> bytes:
    """Return a spot diff whose bytes are unlike those of its neighbours."""
    text = (
        f'{{"e":"depthUpdate","s":"{symbol.upper()}","U":{number},"u":{number},"b":[["{number * 7919}","1"]],"a":[]}}'
    )
    return f'{{"stream":"{symbol}@depth@100ms","data":{text}}}'.encode()


def line(number: int, payload: bytes | None = None) -> bytes:
    return b"%d %s\n" % (T0 + number, diff(number) if payload is None else payload)


def write(folder: Path, content: bytes, name: str = "btcusdt_20240808.gz") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def taken(path: Path) -> tuple[list[tuple[int, bytes]], list[dict]]:
    """Return (time, payload) of all records of a file, and its notes."""
    items = list(read_file(path))
    records = [(item.recv_ns, item.payload) for item in items if isinstance(item, SourceRecord)]
    return records, [item.note for item in items if isinstance(item, SourceNote)]


LINES = [line(number) for number in range(40)]
TRUTH = [(T0 + number, diff(number)) for number in range(40)]


@pytest.mark.parametrize("name", REAL)
def test_every_payload_and_time_of_a_real_file_reads_back_from_the_capture(corpus, tmp_path, name):
    """What was imported is the source, byte for byte and nanosecond for nanosecond, with nothing lost."""
    lines = gzip.decompress((corpus / name).read_bytes()).split(b"\n")
    assert lines.pop() == b""
    summary = import_capture(SourceFormat.HFTBACKTEST, [corpus / name], tmp_path / "out", market=None, created_ns=1)
    payloads: list[bytes] = []
    times: list[int] = []
    for chunk in open_recording([tmp_path / "out"]).chunks():
        payloads += chunk.block.payload_list()
        times += chunk.block.recv_ns.tolist()
    assert payloads == [line[20:] for line in lines]
    assert times == [int(line[:19]) for line in lines]
    assert (summary.records, summary.losses, summary.notes) == (len(lines), 0, [])


@pytest.mark.parametrize(
    ("stamp", "recv_ns"),
    [
        (b"1723161253937085768", 1_723_161_253_937_085_768),
        (b"1723161253937085", 1_723_161_253_937_085_000),
        (b"1723161253937", 1_723_161_253_937_000_000),
    ],
)
def test_the_unit_of_a_time_follows_from_its_digits(stamp, recv_ns):
    """Nanoseconds have 19 digits, microseconds 16, milliseconds 13."""
    assert parse_line(stamp + b" {}") == SourceRecord(b"{}", recv_ns)


@pytest.mark.parametrize(
    "bad",
    [
        b"1723161253 {}",
        b"172316125393708576 {}",
        b"9999999999999999999 {}",
        b"-723161253937085768 {}",
        b"1723161253.93708576 {}",
        b"1.723161253937e+18x {}",
        b"1723161253937085768",
        b" {}",
        b"{}",
        "١٧٢٣١٦١٢٥٣٩٣٧ {}".encode(),
    ],
)
def test_a_line_without_a_time_of_known_unit_is_not_guessed_at(bad):
    """Another number of digits, a sign, a point, or no payload at all: what is wrong is said in words."""
    assert isinstance(parse_line(bad), str)


@pytest.mark.parametrize("payload", [b"{}\r", b" two  spaces ", b"", b"\xff\xfe", b"not json"])
def test_all_bytes_after_the_first_space_are_payload(tmp_path, payload):
    """A carriage return, spaces and bytes that are no text stay in the payload."""
    records, notes = taken(write(tmp_path, line(1) + line(2, payload) + line(3)))
    assert records == [TRUTH[1], (T0 + 2, payload), TRUTH[3]]
    assert notes == []


def test_a_bare_depth_snapshot_is_a_rest_body_of_the_files_only_symbol(tmp_path):
    """The collector does not name the snapshot's symbol; the note has the file's, and says that it was inferred."""
    path = write(tmp_path, line(1) + line(2, SNAPSHOT) + line(3, b'{"result":null,"id":1}'))
    records = [item for item in read_file(path, look(read_file(path)).only_symbol) if isinstance(item, SourceRecord)]
    assert [record.kind for record in records] == [Kind.WS_TEXT, Kind.REST, Kind.WS_TEXT]
    assert records[1].note == {
        "note": "rest",
        "symbol": "BTCUSDT",
        "symbol_from": "only symbol of the file",
        "url": None,
        "status": None,
        "sent_ns": None,
        "received_ns": T0 + 2,
    }


@pytest.mark.parametrize(
    "other", [diff(2, "ethusdt"), b'{"stream":"!ticker@arr","data":[]}', b'{"stream":"btcusdt","data":{}}']
)
def test_a_snapshot_in_a_file_of_several_symbols_has_none(tmp_path, other):
    """With another symbol, or a stream of no symbol, in the file nothing says whose snapshot it is."""
    path = write(tmp_path, line(1) + line(2, other) + line(3, SNAPSHOT))
    symbol = look(read_file(path)).only_symbol
    assert symbol is None
    record = list(read_file(path, symbol))[2]
    assert isinstance(record, SourceRecord)
    assert record.note is not None
    assert record.note["symbol"] is None
    assert "symbol_from" not in record.note


def test_streams_of_unknown_form_still_name_their_symbol(tmp_path):
    """A stream the venue invented later does not hide that the file has one symbol."""
    path = write(tmp_path, line(1) + line(2, b'{"stream":"btcusdt@newThing","data":{"x":1}}'))
    assert look(read_file(path)).only_symbol == "BTCUSDT"


@pytest.mark.parametrize("name", ["day.gz", "day.txt", "day.zst"])
@pytest.mark.parametrize(
    "pack",
    [
        bytes,
        gzip.compress,
        zstandard.ZstdCompressor().compress,
        lambda text: gzip.compress(text[:500], mtime=0) + gzip.compress(text[500:], mtime=0) + bytes(7),
        lambda text: b"".join(zstandard.ZstdCompressor().compress(part) for part in (text[:500], text[500:])),
    ],
    ids=["plain", "gzip", "zstd", "gzip members", "zstd frames"],
)
def test_compression_is_told_by_the_first_bytes_whatever_the_name(tmp_path, pack, name):
    """Plain, gzip and zstd files, members and zero padding included, give the same records under any name."""
    assert taken(write(tmp_path, pack(b"".join(LINES)), name)) == (TRUTH, [])


def test_a_bad_line_is_noted_in_its_place_and_the_rest_goes_on(tmp_path):
    """File, line, what was found and how often stand between the records around it."""
    content = b"".join(LINES[:2]) + b"oops\nagain\n" + LINES[2] + b"x" * 90 + b"\n" + b"".join(LINES[3:])
    items = list(read_file(write(tmp_path, content)))
    assert [item.recv_ns - T0 for item in items if isinstance(item, SourceRecord)] == list(range(40))
    first, second = items[2], items[4]
    assert isinstance(first, SourceNote)
    assert isinstance(second, SourceNote)
    assert first.note == {
        "note": "loss",
        "count": 2,
        "cause": "unreadable source line",
        "file": "btcusdt_20240808.gz",
        "line": 3,
        "why": "no receive time of 19, 16 or 13 digits",
        "found": "oops",
    }
    assert (second.note["line"], second.note["count"], second.note["found"]) == (6, 1, "x" * 60)


def test_blank_lines_are_no_loss(tmp_path):
    """A line of nothing held no record."""
    assert taken(write(tmp_path, b"\n" + LINES[0] + b"\r\n\n" + LINES[1] + b"\n"))[1] == []


def test_endless_damage_makes_a_bounded_number_of_notes(tmp_path):
    """After a thousand places the rest is counted in one note, so that a ruined file does not fill a block."""
    content = b"".join(line(number, b"") + b"bad\n" for number in range(1500))
    records, notes = taken(write(tmp_path, content))
    assert len(records) == 1500
    assert len(notes) == source.LOSS_NOTES_MAX + 1
    assert sum(note["count"] for note in notes) == 1500


def test_a_line_beyond_all_bounds_is_a_loss(tmp_path, monkeypatch):
    """Only the front of an endless line is held in memory; the lines around it are kept."""
    monkeypatch.setattr(source, "LINE_MAX", 300_000)
    content = LINES[0] + line(1, b"y" * 800_000) + LINES[2]
    records, notes = taken(write(tmp_path, content))
    assert records == [TRUTH[0], TRUTH[2]]
    assert notes[0]["why"] == "longer than 300,000 bytes"


def test_a_payload_too_large_for_a_capture_is_a_loss(tmp_path, monkeypatch):
    """The import does not stop for a record that the capture format has no room for."""
    monkeypatch.setattr(source, "PAYLOAD_MAX", 1000)
    records, notes = taken(write(tmp_path, LINES[0] + line(1, b"y" * 1001) + LINES[2]))
    assert records == [TRUTH[0], TRUTH[2]]
    assert notes[0]["why"] == "payload longer than 1,000 bytes"


def pack(text: bytes, kind: str) -> bytes:
    if kind == "gzip":
        return gzip.compress(text, mtime=0)
    return zstandard.ZstdCompressor(level=1, write_checksum=True).compress(text)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "plain"])
def test_a_cut_file_gives_its_front_and_one_loss(tmp_path, kind):
    """Cut at any byte: whole lines before the cut are all there is, and that something is missing is noted once."""
    whole = b"".join(LINES) if kind == "plain" else pack(b"".join(LINES), kind)
    for end in range(1, len(whole), 1 if kind == "gzip" else 7):
        path = write(tmp_path, whole[:end])
        try:
            records, notes = taken(path)
        except ImportFailed:
            continue
        assert records == TRUTH[: len(records)]
        at_line_end = kind == "plain" and (whole[:end].endswith(b"\n") or whole[end : end + 1] == b"\n")
        assert sum(note["count"] for note in notes) == (0 if at_line_end else 1)
        if notes:
            assert notes[0]["cause"].startswith("source ends early: ")
            assert notes[0]["at_least"] is True


def test_a_cut_file_keeps_all_that_can_be_inflated(tmp_path):
    """Nothing readable in front of the cut is given away with the buffer in which the error was met."""
    whole = gzip.compress(b"".join(LINES), mtime=0)
    cut = whole[: len(whole) // 2]
    readable = zlib.decompressobj(wbits=31).decompress(cut)
    records, _ = taken(write(tmp_path, cut))
    assert len(records) == readable.count(b"\n")


def test_a_damaged_byte_costs_nothing_in_front_of_it(tmp_path):
    """A file whose checksum is wrong still gives every record, with the loss said."""
    whole = bytearray(gzip.compress(b"".join(LINES), mtime=0))
    whole[-8] ^= 0xFF
    records, notes = taken(write(tmp_path, bytes(whole)))
    assert records == TRUTH
    assert "incorrect data check" in notes[0]["cause"]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@given(seed=st.integers(0, 2**32))
def test_any_damage_ends_in_records_or_a_refusal(tmp_path_factory, kind, seed):
    """Bytes overwritten anywhere raise nothing but `ImportFailed`, and no record goes missing without a note."""
    chance = random.Random(seed)
    whole = bytearray(pack(b"".join(LINES), kind))
    for _ in range(chance.randint(1, 4)):
        whole[chance.randrange(len(whole))] = chance.randrange(256)
    path = write(tmp_path_factory.getbasetemp(), bytes(whole), f"damaged-{kind}")
    try:
        records, notes = taken(path)
    except ImportFailed:
        return
    assert notes or len(records) == len(TRUTH)


def test_a_day_file_written_over_a_longer_one_gives_the_new_session(tmp_path):
    """The collector does not truncate: after its gzip data the old file's bytes stick out, and that is said."""
    old = gzip.compress(b"".join(line(number) for number in range(1000, 3000)), mtime=0)
    new = gzip.compress(b"".join(LINES), mtime=0)
    assert len(new) < len(old)
    records, notes = taken(write(tmp_path, new + old[len(new) :]))
    assert records == TRUTH
    assert [note["count"] for note in notes] == [1]
    assert notes[0]["cause"] == f"source ends early: the gzip data ends at byte {len(new):,}, other bytes follow"


def test_a_session_killed_after_such_an_overwrite_gives_its_front(tmp_path):
    """Without its own end the new gzip data runs into the old: its lines are kept, what follows is a loss."""
    old = gzip.compress(b"".join(line(number) for number in range(1000, 3000)), mtime=0)
    packer = zlib.compressobj(wbits=31)
    new = packer.compress(b"".join(LINES)) + packer.flush(zlib.Z_SYNC_FLUSH)
    records, notes = taken(write(tmp_path, new + old[len(new) :]))
    assert records[: len(TRUTH)] == TRUTH
    assert notes


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "no line at all"),
        (b"\n\n", "no line at all"),
        (gzip.compress(b"", mtime=0), "no line at all"),
        (gzip.compress(b"".join(LINES), mtime=0)[:15], "the gzip data is cut"),
        (b"\x1f\x8b", "other bytes follow"),
        (b"Dear diary,\nnothing happened.\n", "Dear diary,"),
        (b"no newline either", "no newline either"),
        (bytes(range(256)) * 40, r"\x00\x01"),
        (b"price,size\n" * 2000, "price,size"),
    ],
)
def test_a_file_without_one_readable_line_is_refused(tmp_path, content, found):
    """The refusal says where, what was found and what was expected."""
    with pytest.raises(ImportFailed) as caught:
        taken(write(tmp_path, content))
    assert found in str(caught.value)
    assert "as hftbacktest writes them" in str(caught.value)


def test_what_cannot_be_opened_is_said_by_name(tmp_path):
    """A missing file and a folder are refused at once."""
    with pytest.raises(Unreadable, match="no such file"):
        taken(tmp_path / "missing.gz")
    with pytest.raises(Unreadable, match="not a regular file"):
        taken(tmp_path)
