"""The one way in: what becomes of a source as a whole, its market, its id, and what a failure leaves behind."""

import gzip
import json
import os
from pathlib import Path

import pytest

from hftcap import __version__
from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind, TimeBase
from hftcap.capture.reader import open_recording
from hftcap.errors import AlreadyExists, ImportFailed, Unreadable, WriteFailed
from hftcap.interop.importer import ImportSummary, SourceFormat, import_capture
from hftcap.interop.source import SourceRecord, look

T0 = 1_723_161_253_937_085_768
SPOT = b'{"stream":"btcusdt@bookTicker","data":{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}'
USDM = b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}}'
KLINE = b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{}}}'
SNAPSHOT = b'{"lastUpdateId":5,"bids":[],"asks":[]}'


def write(folder: Path, name: str, *payloads: bytes, first_ns: int = T0) -> Path:
    path = folder / name
    path.write_bytes(b"".join(b"%d %s\n" % (first_ns + at, payload) for at, payload in enumerate(payloads)))
    return path


def take(files: list[Path], out: Path, market: Market | None = None, **more) -> ImportSummary:
    return import_capture(SourceFormat.HFTBACKTEST, files, out, market=market, created_ns=7, **more)


def told(payload: bytes) -> set[Market]:
    return set(look([SourceRecord(payload, 0)]).markets)


def test_files_of_several_days_become_segments_of_one_recording(tmp_path):
    """Each file is a segment that names its source; the records follow each other in the order given."""
    files = [write(tmp_path, "a.gz", SPOT, SNAPSHOT), write(tmp_path, "b.gz", SPOT, KLINE, first_ns=T0 + 10)]
    summary = take(files, tmp_path / "deep" / "out")
    assert summary.records == 4
    assert summary.by_kind == {Kind.WS_TEXT: 3, Kind.WS_BINARY: 0, Kind.REST: 1}
    assert (summary.losses, summary.market, summary.notes) == (0, Market.SPOT, [])
    recording = open_recording([tmp_path / "deep" / "out"])
    assert [segment.path for segment in recording.segments] == summary.segments
    assert [segment.preamble.source for segment in recording.segments] == [
        {"format": "hftbacktest", "file": "a.gz"},
        {"format": "hftbacktest", "file": "b.gz"},
    ]
    blocks = [chunk.block for chunk in recording.chunks()]
    assert [payload for block in blocks for payload in block.payload_list()] == [SPOT, SNAPSHOT, SPOT, KLINE]
    assert next(note for block in blocks for note in block.notes)["record"] == 1
    assert recording.findings == []


def test_the_preamble_says_what_an_import_knows(tmp_path):
    """Wall clock times, no snapshot awaited, the market, the only symbol, and nothing invented."""
    take([write(tmp_path, "a.gz", SPOT)], tmp_path / "out")
    preamble = open_recording([tmp_path / "out"]).preamble
    assert (preamble.time_base, preamble.expects_snapshots, preamble.market) == (TimeBase.WALL, False, "spot")
    assert (preamble.created_ns, preamble.hftcap, preamble.host) == (7, __version__, None)
    assert (preamble.symbols, preamble.streams, preamble.urls) == (["BTCUSDT"], [], [])


def test_the_same_files_give_the_same_bytes(tmp_path):
    """The capture id comes from format and content: the same again is the same, anything else is not."""
    files = [write(tmp_path, "a.gz", SPOT), write(tmp_path, "b.gz", SPOT, SPOT)]
    first = take(files, tmp_path / "1").segments
    second = take(files, tmp_path / "2").segments
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    swapped = take(files[::-1], tmp_path / "3").segments
    ids = {open_recording([path]).preamble.capture_id for path in first + swapped}
    assert len(ids) == 2


def test_real_days_are_one_recording_without_a_finding(corpus, tmp_path):
    """The rotation pair of the corpus becomes two sound segments with one snapshot."""
    files = [corpus / f"hftbacktest/cm/ethusd_perp_2024080{day}.gz" for day in (8, 9)]
    summary = take(files, tmp_path)
    assert (summary.records, summary.by_kind[Kind.REST], summary.market) == (78_314, 1, Market.COINM)
    recording = open_recording([tmp_path])
    assert sum(chunk.block.records for chunk in recording.chunks()) == 78_314
    assert recording.findings == []
    assert not recording.truncated


def test_every_real_capture_tells_its_market(corpus, tmp_path):
    """No user has to say the market of a real hftbacktest or cryptofeed file."""
    expected = {"spot": Market.SPOT, "usdm": Market.USDM, "cm": Market.COINM}
    for path in sorted((corpus / "hftbacktest").glob("*/*.gz")):
        out = tmp_path / f"{path.parent.name}-{path.stem}"
        assert take([path], out).market is expected[path.parent.name], path
    runs = {"BINANCE": "spot", "BINANCE_DELIVERY": "coinm", "BINANCE_FUTURES": "usdm", "BINANCE_US": "spot"}
    for name, market in runs.items():
        file = corpus / "cryptofeed/sample_data_v2" / f"{name}.jsonl.zst"
        summary = import_capture(SourceFormat.CRYPTOFEED, [file], tmp_path / name, market=None, created_ns=1)
        assert summary.market == market


def test_no_real_frame_tells_a_wrong_market(corpus):
    """Each odd frame, those of 2026 with `ps` and `st` on both futures markets included, tells its own market or none.

    The hand-made ones break the venue's rules on purpose and are left out.
    """
    frames = [json.loads(line) for line in (corpus / "odd_frames.jsonl").read_text().splitlines()]
    seen = {frame["name"]: told(frame["raw"].encode()) for frame in frames if not frame["name"].startswith("made_")}
    for frame in frames:
        assert seen.get(frame["name"], set()) <= {Market(frame["market"])}, frame["name"]
    assert seen["usdm_bookTicker_2026_ps_st"] == {Market.USDM}
    assert seen["synthetic_coinm_row_inside_usdm_array_st2"] == set()


@pytest.mark.parametrize(
    ("event", "market"),
    [
        ({"e": "depthUpdate", "s": "BTCUSDT", "U": 1, "u": 2}, Market.SPOT),
        ({"e": "depthUpdate", "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0}, Market.USDM),
        ({"e": "depthUpdate", "s": "BTCUSDT", "ps": "BTCUSDT", "pu": 0}, Market.USDM),
        ({"e": "depthUpdate", "s": "BTCUSD_PERP", "ps": "BTCUSD", "pu": 0}, Market.COINM),
        ({"e": "depthUpdate", "s": "BTCUSDT_210625", "pu": 0}, Market.USDM),
        ({"e": "depthUpdate", "s": "BTCUSD_210625", "pu": 0}, Market.COINM),
        ({"u": 1, "s": "BTCUSDT", "b": "1", "B": "1", "a": "1", "A": "1"}, Market.SPOT),
        ({"e": "bookTicker", "u": 1, "s": "BTCUSDT"}, Market.USDM),
        ({"e": "bookTicker", "u": 1, "s": "BTCUSD_PERP", "ps": "BTCUSD"}, Market.COINM),
        ({"e": "trade", "s": "BTCUSDT", "m": True, "M": True}, Market.SPOT),
        ({"e": "trade", "s": "BTCUSDT", "m": True, "X": "MARKET"}, Market.USDM),
        ({"e": "trade", "s": "ETHUSD_PERP", "m": True, "X": "MARKET"}, Market.COINM),
        ({"e": "aggTrade", "s": "BTCUSDT", "m": True, "M": True}, Market.SPOT),
        ({"e": "aggTrade", "s": "BTCUSDT", "m": True, "st": 1}, Market.USDM),
        ({"e": "aggTrade", "s": "BTCUSDT", "m": True, "st": 2}, Market.COINM),
        ({"e": "aggTrade", "s": "BTCUSDT", "m": True}, None),
        ({"e": "kline", "s": "BTCUSDT"}, None),
        ({"result": None, "id": 1}, None),
        ({"lastUpdateId": 1, "bids": [], "asks": []}, None),
    ],
)
def test_an_event_tells_the_only_market_that_sends_it_so(event, market):
    """With envelope or without: keys that one market has tell it, and nothing is guessed from the rest."""
    expected = set() if market is None else {market}
    assert told(json.dumps(event).encode()) == expected
    assert told(json.dumps({"stream": "x@y", "data": event}).encode()) == expected


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"{", b'{"stream":1,"data":{}}', b"[" * 9000, b"1"])
def test_a_payload_of_any_other_kind_tells_nothing(payload):
    """A first look raises on no payload."""
    assert told(payload) == set()


def test_a_market_that_the_data_does_not_tell_must_be_named(tmp_path):
    """The refusal says what to do, and with the market named the import goes through."""
    file = write(tmp_path, "a.gz", KLINE)
    with pytest.raises(
        ImportFailed, match=r"found nothing in the first 10,000 messages .*--market spot, usdm or coinm"
    ):
        take([file], tmp_path / "out")
    assert take([file], tmp_path / "out", Market.USDM).market is Market.USDM


def test_a_market_that_contradicts_the_data_is_refused(tmp_path):
    """Neither the user nor the data is overruled in silence."""
    file = write(tmp_path, "a.gz", SPOT)
    with pytest.raises(ImportFailed, match=r"a\.gz: market: found messages of spot, expected usdm, as --market says"):
        take([file], tmp_path / "out", Market.USDM)
    assert take([file], tmp_path / "out", Market.SPOT).records == 1


def test_messages_of_two_markets_need_a_word_from_the_user(tmp_path):
    """What the data tells twice is told by neither; one of the two may be chosen."""
    file = write(tmp_path, "a.gz", SPOT, USDM)
    with pytest.raises(ImportFailed, match="messages of spot and usdm"):
        take([file], tmp_path / "out")
    assert take([file], tmp_path / "out", Market.USDM).market is Market.USDM


def test_cryptofeed_addresses_tell_the_market_before_the_messages_do(tmp_path):
    """A run is of the market its addresses belong to; without any, the messages are asked."""
    run = tmp_path / "X.ws.1.0"
    run.write_bytes(b"wss://dstream.binance.com/stream?streams=a@trade <-> 1\n2: " + KLINE + b"\n")
    summary = import_capture(SourceFormat.CRYPTOFEED, [run], tmp_path / "1", market=None, created_ns=1)
    assert summary.market is Market.COINM
    run.write_bytes(b"2: " + SPOT + b"\n")
    summary = import_capture(SourceFormat.CRYPTOFEED, [run], tmp_path / "2", market=None, created_ns=1)
    assert summary.market is Market.SPOT


def test_ndjson_becomes_records_of_every_kind(tmp_path):
    """Kind, connection, time and payload are those of the line."""
    path = tmp_path / "feed.jsonl"
    lines = [
        {"recv_ns": T0, "kind": "ws_text", "conn": 2, "payload": SPOT.decode()},
        {"recv_ns": T0 + 1, "kind": "ws_binary", "conn": 1, "payload_base64": "AAEC"},
        {"recv_ns": T0 + 2, "kind": "rest", "payload": "{}", "symbol": "BTCUSDT"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = import_capture(SourceFormat.JSONL, [path], tmp_path / "out", market=None, created_ns=1)
    assert summary.by_kind == {Kind.WS_TEXT: 1, Kind.WS_BINARY: 1, Kind.REST: 1}
    (chunk,) = open_recording([tmp_path / "out"]).chunks()
    assert chunk.block.payload_list() == [SPOT, bytes([0, 1, 2]), b"{}"]
    assert chunk.block.recv_ns.tolist() == [T0, T0 + 1, T0 + 2]
    assert chunk.block.columns.conn.tolist() == [2, 1, 0]
    assert chunk.block.columns.kind.tolist() == [Kind.WS_TEXT, Kind.WS_BINARY, Kind.REST]
    assert chunk.block.notes[0]["symbol"] == "BTCUSDT"


def test_losses_are_in_the_summary_and_in_the_capture(tmp_path):
    """What could not be read is counted, said in sentences, and noted where the capture has its place."""
    good = b"%d %s\n" % (T0, SPOT)
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(good + b"torn\ntorn\n" + good, mtime=0) + b"garbage")
    summary = take([path], tmp_path / "out")
    assert (summary.records, summary.losses) == (2, 3)
    assert summary.notes[0] == (
        "a.gz: 2 lines unreadable from line 2 on (no receive time of 19, 16 or 13 digits): 'torn'"
    )
    assert summary.notes[1].startswith("a.gz: source ends early: the gzip data ends at byte ")
    assert summary.notes[1].endswith("other bytes follow; at least 1 record lost")
    (chunk,) = open_recording([tmp_path / "out"]).chunks()
    assert [note["note"] for note in chunk.block.notes] == ["loss", "loss"]


def test_files_in_the_wrong_order_are_pointed_out(tmp_path):
    """Nothing is sorted behind the user's back, but a file that begins before the last one ended is named."""
    files = [write(tmp_path, "b.gz", SPOT, first_ns=T0 + 10), write(tmp_path, "a.gz", SPOT)]
    assert take(files, tmp_path / "out").notes == ["a.gz: begins before the files in front of it end"]


def test_progress_adds_up_to_the_size_of_the_sources(tmp_path):
    """The advances are source bytes, compressed as they are."""
    plain = write(tmp_path, "a.txt", *[SPOT] * 30_000)
    packed = tmp_path / "b.gz"
    packed.write_bytes(gzip.compress(os.urandom(3 << 20).hex().encode() + b"\n" + plain.read_bytes(), mtime=0))
    for file in (plain, packed):
        advances: list[int] = []
        take([file], tmp_path / f"{file.name}.out", progress=advances.append)
        assert sum(advances) == file.stat().st_size
        assert len(advances) > 2


def test_a_failed_import_leaves_nothing_behind(tmp_path):
    """Segments, folder and the folders above it that this import made are gone again; what was there stays."""
    good, bad = write(tmp_path, "a.gz", SPOT), tmp_path / "b.gz"
    bad.write_bytes(b"what is this\n")
    with pytest.raises(ImportFailed, match=r"b\.gz: line 1: found 'what is this', expected lines of a receive time"):
        take([good, bad], tmp_path / "x" / "y" / "out")
    assert not (tmp_path / "x").exists()


class Stop(Exception):
    """Raised by a test in the middle of an import."""


def test_an_interrupted_import_leaves_nothing_behind(tmp_path):
    """Stopped half-way, with one segment sealed and one open, the folder is as it was before."""

    def stop(advance: int) -> None:
        stop_at.append(advance)
        if len(stop_at) == 2:
            raise Stop

    files = [write(tmp_path, "a.gz", *[SPOT] * 10), write(tmp_path, "b.gz", *[SPOT] * 10)]
    for out in (tmp_path / "new" / "out", tmp_path / "old"):
        stop_at: list[int] = []
        (tmp_path / "old").mkdir(exist_ok=True)
        (tmp_path / "old" / "mine.txt").write_text("keep")
        with pytest.raises(Stop):
            take(files, out, progress=stop)
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["mine.txt"]


def test_a_capture_is_never_overwritten_or_removed(tmp_path):
    """Where a capture stands the import is refused, and the capture stays as it is."""
    file = write(tmp_path, "a.gz", SPOT)
    (segment,) = take([file], tmp_path / "out").segments
    before = segment.read_bytes()
    with pytest.raises(AlreadyExists):
        take([file], tmp_path / "out")
    assert segment.read_bytes() == before


def test_sources_that_cannot_be_read_are_named(tmp_path):
    """A missing file, and a pipe, which cannot be read twice, are refused before anything is made."""
    with pytest.raises(Unreadable, match="no such file"):
        take([tmp_path / "none.gz"], tmp_path / "out")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="not a regular file"):
        take([tmp_path / "pipe"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(tmp_path):
    """The source's own path as output does not cost the source."""
    file = write(tmp_path, "a.gz", SPOT)
    with pytest.raises(WriteFailed):
        take([file], file)
    assert file.exists()
