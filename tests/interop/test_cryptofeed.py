"""cryptofeed's raw data, version 1 and 2: one run becomes one timeline, with times exact to their last digit."""

import base64
import json
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance.endpoints import Market
from hftcap.capture.format import Kind
from hftcap.capture.reader import open_recording
from hftcap.errors import ImportFailed
from hftcap.interop.cryptofeed import Run, V1Lines, parse_v2, read_run, streams_of_url, symbol_of_url
from hftcap.interop.importer import SourceFormat, import_capture
from hftcap.interop.source import SourceNote, SourceRecord, seconds_ns

RUNS = ["BINANCE", "BINANCE_DELIVERY", "BINANCE_FUTURES", "BINANCE_TR", "BINANCE_US"]
IN_BOTH = ["BINANCE", "BINANCE_DELIVERY", "BINANCE_FUTURES", "BINANCE_US"]
WS = "wss://stream.binance.com:9443/stream?streams=btcusdt@trade/ethusdt@depth@100ms"
DEPTH = "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000"


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n\n")
    return path


def records(run: Run) -> list[SourceRecord]:
    return [item for item in run.items if isinstance(item, SourceRecord)]


def notes(run: Run, kind: str) -> list[dict]:
    return [item.note for item in run.items if isinstance(item, SourceNote) and item.note["note"] == kind]


def read_back(folder: Path) -> list[tuple[int, bytes]]:
    """Return (receive time, payload) of every record of a capture."""
    pairs: list[tuple[int, bytes]] = []
    for chunk in open_recording([folder]).chunks():
        pairs += zip(chunk.block.recv_ns.tolist(), chunk.block.payload_list(), strict=True)
    return pairs


def exact(stamp: str) -> int:
    """Return decimal seconds as nanoseconds by another way than the importer's."""
    scaled = Decimal(stamp) * 10**9
    assert scaled == int(scaled)
    return int(scaled)


def expected_v1(paths: list[Path]) -> list[tuple[int, bytes]]:
    """Return what text files hold, by their stamps, computed on its own."""
    found = []
    for path in paths:
        for line in path.read_bytes().decode().split("\n"):
            if line and not line.startswith("configuration") and " <-> " not in line:
                head, body = line.split(": ", 1)
                found.append((exact(head.split(" -> ")[-1]), body.encode()))
    return sorted(found, key=lambda pair: pair[0])


def expected_v2(path: Path) -> list[tuple[int, bytes]]:
    """Return what a JSON lines file holds, by its stamps, computed on its own."""
    found = []
    with path.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read().decode()
    for line in text.splitlines():
        entry = json.loads(line, parse_float=str, parse_int=str)
        if entry["t"] in {"http", "recv"}:
            found.append((exact(entry["ts"]), entry["data"].encode()))
    return sorted(found, key=lambda pair: pair[0])


def files_of(corpus: Path, run: str) -> list[Path]:
    return [corpus / "cryptofeed/sample_data" / f"{run}{end}" for end in (".0", ".http.0.0", ".ws.1.0")]


@pytest.mark.parametrize("name", RUNS)
def test_every_payload_and_time_of_a_real_run_reads_back_from_the_capture(corpus, tmp_path, name):
    """Text files of one run give one timeline, byte for byte and to the last digit, with nothing lost."""
    files = files_of(corpus, name)
    summary = import_capture(SourceFormat.CRYPTOFEED, files, tmp_path, market=None, created_ns=1)
    assert read_back(tmp_path) == expected_v1(files)
    assert (summary.losses, summary.notes, len(summary.segments)) == (0, [], 1)
    preamble = open_recording([tmp_path]).preamble
    assert len(preamble.urls) == 1
    assert set(preamble.streams) == set(preamble.urls[0].split("streams=")[1].split("/"))
    assert len(preamble.symbols) == {"BINANCE_DELIVERY": 10}.get(name, 4)


@pytest.mark.parametrize("name", IN_BOTH)
def test_both_versions_of_a_real_run_give_the_same_records(corpus, tmp_path, name):
    """The newer format, which orders and escapes its lines differently, holds the same run."""
    newer = corpus / "cryptofeed/sample_data_v2" / f"{name}.jsonl.zst"
    import_capture(SourceFormat.CRYPTOFEED, [newer], tmp_path, market=None, created_ns=1)
    assert read_back(tmp_path) == expected_v2(newer) == expected_v1(files_of(corpus, name))
    first, second = read_run(files_of(corpus, name)), read_run([newer])
    assert (first.version, second.version) == (1, 2)
    assert [(item.kind, item.conn, item.note) for item in records(first)] == [
        (item.kind, item.conn, item.note) for item in records(second)
    ]
    assert notes(first, "connect") == notes(second, "connect")
    assert [note["config"] for note in notes(first, "source_config")] == [
        note["config"] for note in notes(second, "source_config")
    ]


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"1633998512.0633569", 1_633_998_512_063_356_900),
        (b"1626992741.06217", 1_626_992_741_062_170_000),
        (b"1633998512", 1_633_998_512_000_000_000),
        (b"1633998512.0", 1_633_998_512_000_000_000),
        (b"1633998512.000000001", 1_633_998_512_000_000_001),
        (b"1633998512.1234567890000", 1_633_998_512_123_456_789),
        (b"0.5", 500_000_000),
        (b"9223372036.854775807", 2**63 - 1),
        (b"9223372036.854775808", None),
        (b"1633998512.1234567891", None),
        (b"1.6339985120633569e9", None),
        (b"1e9", None),
        (b"-1.5", None),
        (b"+1.5", None),
        (b".5", None),
        (b"5.", None),
        (b"", None),
        (b"inf", None),
        (b"nan", None),
        (b" 1.5", None),
        (b"1_000.5", None),
        (b"1633998512063.5", None),
        ("١.٥".encode(), None),
    ],
)
def test_seconds_are_read_by_their_decimal_text(text, ns):
    """No digit is rounded away; what is not plain seconds, or finer than nanoseconds, is not read at all."""
    assert seconds_ns(text) == ns


@given(st.integers(0, 2**63 - 1), st.integers(0, 4))
def test_any_time_written_in_decimal_reads_back_exactly(ns, zeros):
    """Every nanosecond has a decimal text, and trailing zeros change nothing."""
    seconds, fraction = divmod(ns, 10**9)
    text = f"{seconds}.{fraction:09d}"
    assert seconds_ns(f"{text}{'0' * zeros}".encode()) == ns
    if fraction:
        assert seconds_ns(text.rstrip("0").encode()) == ns


@given(st.floats(0, 9e9))
def test_what_python_prints_of_a_float_is_read_as_printed_or_refused(stamp):
    """The collector prints floats: the decimal text is the truth, also where a float would be off."""
    text = repr(stamp)
    scaled = Decimal(text) * 10**9
    found = seconds_ns(text.encode())
    assert found == (int(scaled) if "e" not in text and scaled == int(scaled) else None)


@given(st.binary(max_size=24))
def test_any_bytes_are_a_time_or_none(text):
    """Reading a time raises on no input."""
    found = seconds_ns(text)
    assert found is None or found == Decimal(text.decode()) * 10**9


def test_every_line_shape_of_version_1_is_understood():
    """REST body, connect, sent, received and configuration, with times and addresses."""
    parse = V1Lines("X.ws.1").parse
    at_ns = 1_633_998_512_500_000_000
    assert parse(b'1633998512.5: {"a: b":1}\r') == SourceRecord(b'{"a: b":1}\r', at_ns, connection="X.ws.1")
    rest = parse(f"{DEPTH} -> 1633998512.5: {{}}".encode())
    assert isinstance(rest, SourceRecord)
    assert (rest.payload, rest.kind, rest.recv_ns) == (b"{}", Kind.REST, at_ns)
    assert rest.note == {
        "note": "rest",
        "symbol": "BTCUSDT",
        "url": DEPTH,
        "status": None,
        "sent_ns": None,
        "received_ns": at_ns,
    }
    connect = {"note": "connect", "url": WS, "streams": ["btcusdt@trade", "ethusdt@depth@100ms"], "at_ns": at_ns}
    assert parse(f"{WS} <-> 1633998512.5".encode()) == SourceNote(connect, at_ns, "X.ws.1")
    assert parse(f"{WS} <-> 1633998512.5\r".encode()) == SourceNote(connect, at_ns, "X.ws.1")
    sent = {"note": "sent", "url": WS, "at_ns": at_ns, "text": '{"id":1}'}
    assert parse(f'{WS} <- 1633998512.5: {{"id":1}}'.encode()) == SourceNote(sent, at_ns, "X.ws.1")
    config = {"note": "source_config", "config": {"trades": ["BTC-USDT"]}}
    assert parse(b'configuration: {"trades":["BTC-USDT"]}') == SourceNote(config)


def test_a_header_behind_a_rest_body_is_not_part_of_it():
    """Later collectors print response headers after the body; a body that only looks so stays whole."""
    parse = V1Lines("X.http.0").parse
    record = parse(f'{DEPTH} -> 1.5: {{"a":1}} header: {{"Weight":"5"}}'.encode())
    assert isinstance(record, SourceRecord)
    assert record.note is not None
    assert (record.payload, record.note["headers"]) == (b'{"a":1}', {"Weight": "5"})
    for body in (b'{"a":" header: {}"}', b"text header: no json", b'{"a":1} header: [1]', b'{"a": header: {"b":1}'):
        record = parse(DEPTH.encode() + b" -> 1.5: " + body)
        assert isinstance(record, SourceRecord)
        assert record.payload == body


def test_a_polled_answer_without_an_address_is_a_rest_body():
    """In the file or connection of a REST client, what was received is no websocket message."""
    first = V1Lines("X.http.1").parse(b"1.5: {}")
    second = parse_v2(b'{"t":"recv","conn":"X.http.1","ts":1.5,"data":"{}"}')
    assert first == second
    assert isinstance(first, SourceRecord)
    assert first.kind is Kind.REST


@pytest.mark.parametrize(
    "bad",
    [
        b"1.6339985120633569e9: {}",
        b"1633998512.5 {}",
        b"1633998512.5:{}",
        b"hello: {}",
        b"https://x/y -> soon: {}",
        b"https://x/y -> 1.5",
        b"https://x/y => 1.5: {}",
        b"wss://x/y <-> 1e9",
        b"wss://x/y <- 1.5",
        b"configuration: {",
    ],
)
def test_a_line_of_no_known_shape_says_why(bad):
    """Nothing is guessed from a line that is torn, or whose time has an exponent."""
    assert isinstance(V1Lines("X.ws.1").parse(bad), str)


@pytest.mark.parametrize(
    "bad",
    [
        b'{"t":"recv","ts":1.5}',
        b'{"t":"recv","ts":1.5,"data":"a","b64":"YQ=="}',
        b'{"t":"recv","ts":1.5e9,"data":"a"}',
        b'{"t":"recv","ts":"1.5","data":"a"}',
        b'{"t":"recv","data":"a"}',
        b'{"t":"recv","ts":1.5,"data":"\\ud800"}',
        b'{"t":"recv","ts":1.5,"b64":"?"}',
        b'{"t":"other","ts":1.5,"data":"a"}',
        b'{"t":"connect","ts":1.5}',
        b'{"ts":1.5}',
        b'{"t":"recv","ts":1.5,"data":"a',
        b"1633998512.5: {}",
        b"\xff",
    ],
)
def test_an_object_that_is_no_record_says_why(bad):
    """Version 2 lines are taken whole or not at all."""
    assert isinstance(parse_v2(bad), str)


def test_payloads_of_version_2_are_the_bytes_behind_the_escapes():
    """Escapes, newlines, non-ASCII characters and binary frames come out as they were received."""
    text = 'a "quoted"\n\t\\ line: é 币 \U0001f600'
    for ascii_only in (True, False):
        line = json.dumps({"t": "recv", "conn": "X.ws.1", "ts": 1.5, "data": text}, ensure_ascii=ascii_only).encode()
        assert parse_v2(line) == SourceRecord(text.encode(), 1_500_000_000, connection="X.ws.1")
    packed = base64.b64encode(b"\x00\xff\n").decode()
    record = parse_v2(json.dumps({"t": "recv", "conn": "X.ws.1", "ts": 1.5, "b64": packed}).encode())
    assert record == SourceRecord(b"\x00\xff\n", 1_500_000_000, Kind.WS_BINARY, connection="X.ws.1")


def test_files_are_merged_by_time_and_ties_keep_their_order(tmp_path):
    """Equal times follow the order of the files as given, then of the lines."""
    rest = write(tmp_path, "X.http.0.0", f"{DEPTH} -> 2: rest2", f"{DEPTH} -> 3: rest3")
    first = write(tmp_path, "X.ws.1.0", f"{WS} <-> 0.5", "1: a1", "2: a2", "2: a2again")
    second = write(tmp_path, "X.ws.2.0", "1: b1", "1.5: b15", "2: b2")
    run = read_run([rest, first, second])
    assert [(item.payload, item.conn) for item in records(run)] == [
        (b"a1", 0),
        (b"b1", 1),
        (b"b15", 1),
        (b"rest2", 2),
        (b"a2", 0),
        (b"a2again", 0),
        (b"b2", 1),
        (b"rest3", 2),
    ]
    assert [item.payload for item in records(read_run([second, first, rest]))][:2] == [b"b1", b"a1"]


def test_a_clock_that_steps_back_does_not_shuffle_a_connection(tmp_path):
    """What one connection received stays in the order it came, and every time is kept as it was written."""
    ws = write(tmp_path, "X.ws.1.0", "5: a", "3: b", "4: c", "6: d")
    rest = write(tmp_path, "X.http.0.0", f"{DEPTH} -> 4.5: rest")
    run = read_run([ws, rest])
    assert [item.payload for item in records(run)] == [b"rest", b"a", b"b", b"c", b"d"]
    assert [item.recv_ns // 10**9 for item in records(run)] == [4, 5, 3, 4, 6]


def test_rotated_files_are_one_connection(tmp_path):
    """`X.ws.1.0` and `X.ws.1.1` carry on one websocket, in whatever order the shell names them."""
    files = [
        write(tmp_path, "X.ws.1.10", "30: c"),
        write(tmp_path, "X.ws.1.2", "20: b"),
        write(tmp_path, "X.ws.2.0", "25: other"),
    ]
    run = read_run(files)
    assert [(item.payload, item.conn) for item in records(run)] == [(b"b", 0), (b"other", 1), (b"c", 0)]


def test_notes_of_a_run_stand_where_they_happened(tmp_path):
    """The configuration comes first; connects and what was sent have their connection and their place."""
    first = write(tmp_path, "X.ws.1.0", f"{WS} <-> 1", '1.2: {"a":1}', f"{WS} <- 1.5: hello", '2: {"b":1}')
    main = write(tmp_path, "X.0", "https://api.binance.com/api/v3/exchangeInfo -> 0.5: {}", "configuration: {}")
    run = read_run([first, main])
    kinds = [item.note["note"] if isinstance(item, SourceNote) else item.payload for item in run.items]
    assert kinds == ["source_config", b"{}", "connect", b'{"a":1}', "sent", b'{"b":1}']
    assert [note["conn"] for note in notes(run, "connect") + notes(run, "sent")] == [0, 0]
    assert run.urls == [WS]
    assert run.streams == ["btcusdt@trade", "ethusdt@depth@100ms"]
    assert run.symbols == ["BTCUSDT", "ETHUSDT"]
    assert run.markets == {Market.SPOT}


def test_a_bad_line_of_a_run_is_noted_in_its_place(tmp_path):
    """A torn line is counted with file and line number, and the rest of the run goes on."""
    run = read_run([write(tmp_path, "X.ws.1.0", "1: a", "1.5e9: bad", "bad", "2: b")])
    assert [item.note["note"] if isinstance(item, SourceNote) else item.payload for item in run.items] == [
        b"a",
        "loss",
        b"b",
    ]
    (loss,) = notes(run, "loss")
    assert (loss["file"], loss["line"], loss["count"], loss["found"]) == ("X.ws.1.0", 2, 2, "1.5e9: bad")


def test_a_cut_text_file_gives_up_its_last_line(tmp_path):
    """A message without its end is no message: the line the collector was writing is a loss."""
    path = tmp_path / "X.ws.1.0"
    path.write_text('1: {"a":1}\n2: {"b":')
    run = read_run([path])
    assert [item.payload for item in records(run)] == [b'{"a":1}']
    assert notes(run, "loss")[0]["cause"] == "source ends early: line 2 is cut"
    path.write_text('1: {"a":1}\n2: {"b":2}')
    assert len(records(read_run([path]))) == 2


@pytest.mark.parametrize("keep", [30, 50, 70, 90])
def test_a_cut_version_2_file_gives_its_front(tmp_path, keep):
    """A zstd file that breaks off gives every whole line before the end, and one loss."""
    lines = [json.dumps({"t": "header", "format": 2, "exchange": "BINANCE", "config": {}})]
    lines += [
        json.dumps({"t": "recv", "conn": "B.ws.1", "ts": number + 0.5, "data": json.dumps({"n": number**9})})
        for number in range(20_000)
    ]
    whole = zstandard.ZstdCompressor().compress(("\n".join(lines) + "\n").encode())
    path = tmp_path / "BINANCE.jsonl.zst"
    path.write_bytes(whole[: len(whole) * keep // 100])
    run = read_run([path])
    count = len(records(run))
    assert 0 < count < 20_000
    assert [item.recv_ns for item in records(run)] == [number * 10**9 + 500_000_000 for number in range(count)]
    assert [note["count"] for note in notes(run, "loss")] == [1]


def test_a_version_2_file_without_its_header_is_still_read(tmp_path):
    """The version is told by what the lines look like, so a torn first line costs only itself."""
    run = read_run([write(tmp_path, "B.jsonl", '"format":2,"exch', '{"t":"recv","conn":"B.ws.1","ts":1,"data":"a"}')])
    assert run.version == 2
    assert [item.payload for item in records(run)] == [b"a"]
    assert notes(run, "loss")[0]["line"] == 1


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([("X.0", "")], "no message"),
        ([("X.0", "configuration: {}\n")], "no message"),
        ([("X.ws.1.0", "1: a\n"), ("X.txt", "what is this\n")], "what is this"),
        ([("X.ws.1.0", "1: a\n"), ("X.jsonl", '{"t":"header","format":2}\n')], "format version 2"),
        ([("X.jsonl", '{"t":"header","format":3}\n')], "format version 3"),
        ([("X.jsonl", '{"price":1}\n')], "price"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, files, found):
    """No message, another tool's file, both versions at once, or a version to come: each is said by name."""
    paths = []
    for name, text in files:
        paths.append(tmp_path / name)
        paths[-1].write_text(text)
    with pytest.raises(ImportFailed, match=found):
        read_run(paths)


def test_a_connection_that_received_nothing_is_no_error(tmp_path):
    """The collector leaves a file of one newline for a connection that stayed silent."""
    files = [write(tmp_path, "X.ws.1.0", "1: a"), tmp_path / "X.ws.2.0"]
    files[1].write_text("\n")
    assert len(read_run(files).items) == 1


@pytest.mark.parametrize(
    ("url", "streams"),
    [
        (WS, ["btcusdt@trade", "ethusdt@depth@100ms"]),
        ("wss://x/stream?timeUnit=MICROSECOND&streams=a@kline_1d@%2B08:00/b@trade", ["a@kline_1d@+08:00", "b@trade"]),
        ("wss://stream.binance.com/ws/btcusdt@trade/ethusdt@trade", ["btcusdt@trade", "ethusdt@trade"]),
        ("wss://fstream.binance.com/public/ws/btcusdt@trade", ["btcusdt@trade"]),
        ("wss://stream.binance.com/ws", []),
        ("wss://stream.binance.com:9443/stream", []),
        ("wss://[broken", []),
    ],
)
def test_streams_are_read_from_the_address(url, streams):
    """Combined and raw addresses name their streams; one without names none."""
    assert streams_of_url(url) == streams


@pytest.mark.parametrize(("url", "symbol"), [(DEPTH, "BTCUSDT"), ("https://x/time", None), ("https://[broken", None)])
def test_the_symbol_of_a_request_is_read_from_its_address(url, symbol):
    """A request without a symbol has none."""
    assert symbol_of_url(url) == symbol
