"""Write the golden captures of format version 1 and their JSON twins: `python tests/golden/encoder.py OUT_DIR`.

A second implementation, made from docs/format.md alone: it shares no code with hftcap, so that an error in hftcap's
writer cannot repeat itself here. What a twin says of times, totals and index is calculated here too. No file is ever
overwritten, and the same libzstd gives the same bytes at every run.
"""

import base64
import hashlib
import json
import struct
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

NONE = -(2**63)
KINDS = {"ws_text": 1, "ws_binary": 2, "rest": 3}
DAY = 1_723_161_600_000_000_000
UPTIME = 86_400_000_000_000
OFFSET = DAY - UPTIME
CAPTURE_ID = "0123456789abcdef"
EVENT = b'{"e":"trade"}'


@dataclass
class Record:
    """One record; `time` is what the time column holds."""

    time: int
    payload: bytes = EVENT
    kind: str = "ws_text"
    conn: int = 1
    flags: int = 0
    rx_lag: int = NONE


@dataclass
class Block:
    """One block. `noise` sets what version 1 leaves open: flags and reserved bytes."""

    records: list[Record] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)
    offset: int = 0
    error: int = 0
    span: int = 1
    level: int = 1
    noise: bool = False


@dataclass
class Stored:
    """A block with its place: what the index says of it, and where it stands in the recording."""

    block: Block
    at: int
    sequence: int
    end: int
    columns: tuple


@dataclass
class Segment:
    """One segment file as it stands on disk."""

    name: str
    preamble: dict
    content: bytes
    blocks: list[Stored]
    totals: dict | None


def wrap(value: int) -> int:
    """Return a sum or difference of times, modulo 2^64."""
    return (value - NONE) % 2**64 + NONE


def skippable(content: bytes) -> bytes:
    return struct.pack("<II", 0x184D2A53, len(content)) + content


def compressed(raw: bytes, level: int) -> bytes:
    """Return one zstd frame with content size and checksum, nothing for no bytes."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    return compressor.compress(raw) if raw else b""


def shuffled(values: list[int], code: str) -> bytes:
    """Return a column: byte 0 of every value, then byte 1 of every value, and so on."""
    rows = [struct.pack("<" + code, value) for value in values]
    return bytes(row[place] for place in range(struct.calcsize("<" + code)) for row in rows)


def json_bytes(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def preamble_part(text: bytes, version: int = 1, flags: int = 0) -> bytes:
    content = b"\x89HFTCAP\n" + struct.pack("<HHI", version, flags, len(text)) + text
    return skippable(content + struct.pack("<I", zlib.crc32(content)))


def received(record: Record, block: Block, time_base: str) -> int:
    if time_base == "wall":
        return record.time
    return wrap(block.offset + record.time - (0 if record.rx_lag == NONE else record.rx_lag))


def block_part(block: Block, sequence: int, capture_id: str, time_base: str, version: int = 1) -> tuple[bytes, tuple]:
    """Return a block, and what its index entry repeats of its header between sequence and span."""
    records = block.records
    times = [record.time for record in records]
    deltas = [wrap(time - before) for time, before in zip(times, [0, *times], strict=False)]
    columns_raw = shuffled([len(record.payload) for record in records], "I") + shuffled(deltas, "q")
    columns_raw += shuffled([record.rx_lag for record in records], "q")
    columns_raw += shuffled([KINDS[record.kind] for record in records], "B")
    columns_raw += shuffled([record.conn for record in records], "H")
    columns_raw += shuffled([record.flags for record in records], "B")
    notes_raw = b"".join(json_bytes(note) + b"\n" for note in block.notes)
    payloads_raw = b"".join(record.payload + b"\n" for record in records)
    columns, notes, payloads = (compressed(raw, block.level) for raw in (columns_raw, notes_raw, payloads_raw))
    mono = times if time_base == "monotonic" and records else [NONE]
    recv = [received(record, block, time_base) for record in records] or [NONE]
    spans = (min(mono), max(mono), min(recv), max(recv))
    header = struct.pack("<8sHHI", b"\x89HCBLOCK", version, 0xFFFF if block.noise else 0, len(records))
    header += struct.pack("<Q8sq", sequence, bytes.fromhex(capture_id), block.offset)
    header += struct.pack("<qqqqI", *spans, block.error)
    header += struct.pack("<II", len(columns), len(columns_raw))
    header += struct.pack("<II", len(notes), len(notes_raw))
    header += struct.pack("<II", len(payloads), len(payloads_raw))
    header += struct.pack("<I", zlib.crc32(columns + notes)) + (payloads[-4:] or bytes(4))
    header += struct.pack("<I", block.span) + (b"\xff" if block.noise else b"\0") * 12
    header += struct.pack("<I", zlib.crc32(header))
    return skippable(header + columns + notes) + payloads, (*spans, len(records), len(payloads_raw))


def footer_part(blocks: list[Stored], text: bytes, at: int, *, version: int = 1, noise: bool = False) -> bytes:
    flags = 0xFFFF if noise else 0
    content = b"\x89HCINDEX" + struct.pack("<HHII", version, flags, len(blocks), len(text))
    for stored in blocks:
        content += struct.pack("<QQ", stored.at, stored.sequence) + struct.pack("<qqqqII", *stored.columns)
        content += struct.pack("<II", stored.block.span, 0xFFFFFFFF if noise else 0)
    content += text
    return skippable(content + struct.pack("<QI4s", at, zlib.crc32(content), b"HCAP"))


def totals_of(blocks: list[Block], time_base: str) -> dict:
    records = [record for block in blocks for record in block.records]
    recv = [received(record, block, time_base) for block in blocks for record in block.records]
    return {
        "records": len(records),
        "payload_bytes": sum(len(record.payload) for record in records),
        "by_kind": {kind: sum(record.kind == kind for record in records) for kind in KINDS},
        "losses": sum(note["count"] for block in blocks for note in block.notes if note["note"] == "loss"),
        "first_recv_ns": min(recv, default=None),
        "last_recv_ns": max(recv, default=None),
    }


def preamble_of(time_base: str, **changes: object) -> dict:
    """Return a preamble's JSON, all keys there."""
    wall = time_base == "wall"
    return {
        "capture_id": CAPTURE_ID,
        "segment": 0,
        "previous_sequence": None,
        "market": "spot",
        "time_base": time_base,
        "expects_snapshots": not wall,
        "created_ns": DAY,
        "hftcap": "0.1.0",
        "urls": [] if wall else ["wss://stream.binance.com:9443/stream"],
        "streams": [] if wall else ["btcusdt@trade"],
        "symbols": [] if wall else ["BTCUSDT"],
        "host": None if wall else "recorder-1",
        "boot_id": None if wall else "4a1f3a06-0000-4000-8000-000000000001",
        "source": {"tool": "another", "format": 1} if wall else None,
        "timeline_offset_ns": 0 if wall else OFFSET,
    } | changes


def segment(
    name: str,
    preamble: dict,
    blocks: list[Block],
    *,
    sealed: bool = True,
    repeat: bool = True,
    more: dict | None = None,
    noise: bool = False,
) -> Segment:
    """Return a whole segment; `more` is added to the footer's JSON, `repeat` says whether the preamble is."""
    content = preamble_part(json_bytes(preamble), flags=0xFFFF if noise else 0)
    before = preamble["previous_sequence"]
    sequence = 0 if before is None else before + 1
    placed = []
    for block in blocks:
        part, columns = block_part(block, sequence, preamble["capture_id"], preamble["time_base"])
        placed.append(Stored(block, len(content), sequence, len(content) + len(part), columns))
        content += part
        sequence += block.span
    totals = totals_of(blocks, preamble["time_base"])
    if sealed:
        text = json_bytes(totals | ({"preamble": preamble} if repeat else {}) | (more or {}))
        content += footer_part(placed, text, len(content), noise=noise)
    suffix = ".hcap.zst" if sealed else ".hcap.zst.part"
    return Segment(name + suffix, preamble, content, placed, totals if sealed else None)


def cut(whole: Segment, blocks: int, upto: int, *, name: str) -> Segment:
    """Return a segment that ends at byte `upto`, after so many whole blocks."""
    return Segment(name, whole.preamble, whole.content[:upto], whole.blocks[:blocks], None)


def twin_of(shows: str, segments: list[Segment], findings: list[dict], zstd: str = "whole") -> dict:
    """Return what a reader must find in the segments of one recording."""
    first = segments[0]
    twin = {
        "shows": shows,
        "files": [part.name for part in segments],
        "zstd": zstd,
        "capture_id": first.preamble["capture_id"],
        "time_base": first.preamble["time_base"],
        "totals": [part.totals for part in segments],
        "findings": findings,
        "blocks": [],
        "notes": [],
        "records": [],
    }
    mono = twin["time_base"] == "monotonic"
    latest, first_offset, boot = NONE, None, None
    for rank, part in enumerate(segments):
        if rank == 0 or part.preamble.get("boot_id") != boot:
            first_offset, boot = part.preamble.get("timeline_offset_ns"), part.preamble.get("boot_id")
        for stored in part.blocks:
            block = stored.block
            first_offset = block.offset if first_offset is None else first_offset
            about = {"offset": stored.at, "sequence": stored.sequence, "span": block.span}
            about |= {"records": len(block.records), "wall_offset_ns": block.offset, "wall_error_ns": block.error}
            twin["blocks"].append({"file": part.name} | about)
            twin["notes"] += [{"sequence": stored.sequence, "says": note} for note in block.notes]
            for record in block.records:
                latest = max(latest, wrap(first_offset + record.time) if mono else record.time)
                values = {
                    "recv_ns": received(record, block, twin["time_base"]),
                    "mono_ns": record.time if mono else None,
                    "rx_lag_ns": None if record.rx_lag == NONE else record.rx_lag,
                    "timeline_ns": latest,
                    "kind": record.kind,
                    "conn": record.conn,
                    "flags": record.flags,
                    "payload": base64.b64encode(record.payload).decode(),
                }
                twin["records"].append(values)
    return twin


def refused(shows: str, name: str, error: str, gist: list[str], zstd: str) -> dict:
    return {"shows": shows, "files": [name], "zstd": zstd, "error": error, "gist": gist}


def finding(part: Segment, offset: int, *gist: str) -> dict:
    return {"file": part.name, "offset": offset, "gist": list(gist)}


class Goldens:
    """The folder being filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, twin: dict, *segments: Segment) -> None:
        """Write a twin and the captures it is of, and print their rows for the README."""
        with (self.folder / f"{name}.json").open("x") as file:
            file.write(twin_text(twin))
        for part in segments:
            with (self.folder / part.name).open("xb") as file:
                file.write(part.content)
            print(f"| `{part.name}` | `{hashlib.sha256(part.content).hexdigest()}` | {twin['shows']} |")

    def plain(self, shows: str, *segments: Segment) -> None:
        """Add a recording in which nothing is wrong, named as its first file up to the first dot."""
        self.add(segments[0].name.partition(".")[0], twin_of(shows, list(segments), []), *segments)


def twin_text(twin: dict) -> str:
    """Return a twin as JSON with one item of a list per line."""
    lines = []
    for key, value in twin.items():
        text = json.dumps(value)
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            text = "[\n    " + ",\n    ".join(json.dumps(item) for item in value) + "\n  ]"
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def seconds(count: int) -> int:
    return UPTIME + count * 1_000_000_000


def write_records(goldens: Goldens) -> None:
    """Write what a record can hold."""
    wall, mono = preamble_of("wall"), preamble_of("monotonic")
    head = preamble_of("wall", source=None)
    one = Block([Record(1_723_161_600_001_658_384)])
    goldens.plain("the smallest capture of docs/format.md", segment("smallest", head, [one]))
    goldens.plain("a recording without any record: no block", segment("no_records", wall, []))
    records = [
        Record(seconds(0), b"no lag", flags=0),
        Record(seconds(0), b"same read, same stamp", rx_lag=1_500, flags=1),
        Record(seconds(1), b"lag 0", rx_lag=0, flags=2),
        Record(seconds(2), b"negative lag: the clock was set back", rx_lag=-7, flags=3, conn=2),
        Record(seconds(3), b"lag of an hour", rx_lag=3_600_000_000_000, conn=0),
    ]
    blocks = [Block(records, offset=OFFSET, error=250), Block([Record(seconds(4))], offset=OFFSET, error=2**32 - 1)]
    shows = (
        "time base monotonic; rx_lag NONE and with values; all four values of the known flags; offset error at its most"
    )
    goldens.plain(shows, segment("monotonic", mono, blocks))
    records = [
        Record(seconds(0), b'{"stream":"btcusdt@trade"}'),
        Record(seconds(1), bytes(range(256)), "ws_binary"),
        Record(seconds(2), b'{"lastUpdateId":1}', "rest", 0),
    ]
    note = {"note": "rest", "record": 2, "symbol": "BTCUSDT", "status": 200}
    goldens.plain("all three kinds", segment("kinds", mono, [Block(records, [note], OFFSET)]))
    odd = [b"", b"\n", b"\n\n\r\n", b"two\nlines", b"\xff\xfe\x80 not UTF-8", b"\0", b"", "\u20bf".encode()]
    copy, _ = block_part(one, 1, CAPTURE_ID, "wall")
    records = [Record(DAY + place, payload) for place, payload in enumerate([*odd, copy])]
    shows = "payloads that are empty, hold newlines, are not UTF-8, or are a copy of a whole block"
    goldens.plain(shows, segment("payloads", wall, [Block(records)]))
    records = [Record(DAY + 5), Record(DAY + 5), Record(DAY + 2), Record(DAY + 7)]
    blocks = [Block(records), Block([Record(DAY + 1), Record(DAY + 7), Record(DAY + 8)])]
    shows = "stamps that are equal and that run backwards, inside a block and from block to block"
    goldens.plain(shows, segment("backward_stamps", wall, blocks))
    times = [-5, 2**63 - 1, NONE + 1, 0]
    records = [Record(time, conn=2**16 - 1, flags=2**8 - 1) for time in times]
    shows = "the ends of each column: times whose differences wrap, connection 65535, all bits of the record flags"
    goldens.plain(shows, segment("extremes", wall, [Block(records)]))


def write_blocks(goldens: Goldens) -> None:
    """Write notes, and what a block can be."""
    mono = preamble_of("monotonic")
    config = {"note": "source_config", "config": {"channels": ["trade"], "nested": [None, 1.5]}}
    connect = {"note": "connect", "conn": 1, "url": "wss://stream.binance.com:9443", "streams": [], "at_ns": DAY}
    sent = {"note": "sent", "conn": 1, "at_ns": DAY, "text": "lone surrogate \udc80, \u20bf and \n"}
    rest = {"note": "rest", "symbol": "BTCUSDT", "url": "/api/v3/depth", "status": None, "sent_ns": DAY, "headers": {}}
    loss = {"note": "loss", "count": 3, "cause": "queue full", "at_least": True}
    records = [Record(seconds(0)), Record(seconds(1), b"{}", "rest", 0), Record(seconds(2))]
    first = [config, connect, rest | {"record": 1}, sent, loss, sent | {"record": 2}, loss | {"record": 0, "count": 0}]
    last = [connect | {"record": 0}, loss | {"count": 4}]
    blocks = [Block(records, first, OFFSET), Block([Record(seconds(3))], last, OFFSET)]
    goldens.plain(
        "every known kind of note, about a record and about none; seven losses", segment("notes", mono, blocks)
    )
    blocks = [Block([], [connect], OFFSET), Block([Record(seconds(0))], [], OFFSET), Block([], [loss, sent], OFFSET)]
    goldens.plain("blocks of notes only, at the beginning and at the end", segment("notes_only", mono, blocks))
    blocks = [
        Block([Record(seconds(0)), Record(seconds(1))], offset=OFFSET + 7, error=100),
        Block([Record(seconds(2))], offset=OFFSET - 5_000_000_000, error=90),
        Block([Record(seconds(3))], offset=OFFSET + 60_000_000_000, error=80),
    ]
    shows = (
        "a wall offset that steps back and forth between blocks; timeline_offset_ns null, so the first block's holds"
    )
    goldens.plain(shows, segment("wall_offset_steps", preamble_of("monotonic", timeline_offset_ns=None), blocks))
    blocks = [
        Block([Record(seconds(0))], offset=OFFSET),
        Block([Record(seconds(at)) for at in (1, 2, 3)], [loss | {"record": 2}], OFFSET, span=3, level=19),
        Block([Record(seconds(4))], offset=OFFSET),
    ]
    goldens.plain("a merged block of span 3 between two of span 1", segment("merged", mono, blocks))


def write_segments(goldens: Goldens) -> None:
    """Write recordings of two files."""
    ends = [Block([Record(seconds(0))], offset=OFFSET), Block([Record(seconds(1))], offset=OFFSET + 9, span=2)]
    begin = segment("two_segments.0", preamble_of("monotonic"), ends)
    later = preamble_of("monotonic", segment=1, previous_sequence=2)
    after = [Block([Record(seconds(2))], offset=OFFSET + 9), Block([Record(seconds(3))], offset=OFFSET - 9)]
    shows = "two segments of one recording; the last block of the first one is merged and takes the numbers 1 and 2"
    follow = segment("two_segments.1", later, after)
    goldens.plain(shows, begin, follow)
    shows = "the second of the two segments read alone: its timeline is the same"
    goldens.add("two_segments_second_alone", twin_of(shows, [follow], []))
    booted = preamble_of("monotonic", segment=1, previous_sequence=0, boot_id="another", timeline_offset_ns=DAY)
    records = [Record(5_000_000_000), Record(500_000_000_000)]
    shows = "two segments of two boots: the monotonic clock begins anew, the timeline does not run backwards"
    goldens.plain(
        shows,
        segment("two_boots.0", preamble_of("monotonic"), [Block([Record(seconds(9))], offset=OFFSET)]),
        segment("two_boots.1", booted, [Block(records, offset=DAY)]),
    )


def write_tolerated(goldens: Goldens) -> None:
    """Write what readers must accept although hftcap does not write it."""
    mono = preamble_of("monotonic")
    required = ("capture_id", "segment", "previous_sequence", "market", "time_base", "expects_snapshots", "created_ns")
    bare = {key: value for key, value in preamble_of("wall").items() if key in (*required, "hftcap")}
    bare["market"] = "coinm"
    shows = "a footer that does not repeat the preamble; a preamble of required keys only"
    goldens.plain(shows, segment("footer_without_preamble", bare, [Block([Record(DAY)])], repeat=False))
    notes = [{"note": "weather", "record": 0, "of": ["later"]}, {"note": "connect", "conn": 1, "colour": "blue"}]
    head = mono | {"colour": {"red": [1, None]}, "version": 9}
    shows = "unknown keys in the JSON of preamble, footer and notes, and an unknown kind of note"
    blocks = [Block([Record(seconds(0))], notes, OFFSET)]
    goldens.plain(shows, segment("unknown_keys", head, blocks, more={"checked": True, "signature": {"by": "x"}}))
    blocks = [Block([Record(seconds(0), flags=0b11111101)], offset=OFFSET, noise=True)]
    shows = "all bits set that version 1 leaves open: flags and reserved bytes of every part, flags of a record"
    goldens.plain(shows, segment("open_bits", mono, blocks, noise=True))


def write_damaged(goldens: Goldens) -> None:
    """Write what is not whole, and what is newer."""
    mono = preamble_of("monotonic")
    blocks = [Block([Record(seconds(at)), Record(seconds(at), b"[]")], offset=OFFSET) for at in range(3)]
    whole = segment("whole", mono, blocks, sealed=False)
    part = cut(whole, 3, len(whole.content), name="unsealed.hcap.zst.part")
    goldens.plain("not sealed yet: no footer, every block whole", part)
    upto = whole.blocks[2].end - 9
    part = cut(whole, 2, upto, name="torn_part.hcap.zst.part")
    shows = "not sealed and torn: cut 9 bytes before the end of its third block"
    found = [finding(part, part.blocks[1].end, "passed over", "end inside a part")]
    goldens.add("torn_part", twin_of(shows, [part], found, "torn"), part)
    part = cut(whole, 2, upto, name="torn_tail.hcap.zst")
    found = [finding(part, part.blocks[1].end, "passed over", "end inside a part"), finding(part, upto, "no footer")]
    shows = "the name of a sealed segment, cut 9 bytes before the end of its third block"
    goldens.add("torn_tail", twin_of(shows, [part], found, "torn"), part)
    part = cut(whole, 0, 200, name="torn_preamble.hcap.zst.part")
    shows = "not sealed and cut at byte 200, inside its preamble: it holds nothing"
    goldens.add("torn_preamble", refused(shows, part.name, "DamagedPart", ["damaged at byte 0"], "torn"), part)
    sealed = segment("preamble_damaged", mono, blocks[:1])
    spoilt = bytearray(sealed.content)
    spoilt[40] ^= 0x10
    sealed.content = bytes(spoilt)
    found = [finding(sealed, 0, "preamble", "footer's copy")]
    shows = "one bit of the preamble flipped (bit 4 of byte 40): the footer's copy holds"
    goldens.add("preamble_damaged", twin_of(shows, [sealed], found), sealed)
    content = preamble_part(b"of version 2 only the envelope is known", version=2)
    block, columns = block_part(blocks[0], 0, CAPTURE_ID, "monotonic", version=2)
    stored = Stored(blocks[0], len(content), 0, len(content) + len(block), columns)
    content += block + footer_part([stored], b"{}", stored.end, version=2)
    newer = Segment("newer_version.hcap.zst", {}, content, [], None)
    shows = "version 2 in every part, its preamble not even JSON: refused by name of both versions"
    goldens.add(
        "newer_version", refused(shows, newer.name, "NewerFormat", ["format 2", "newer than 1"], "whole"), newer
    )


def main() -> None:
    """Fill the folder named on the command line."""
    goldens = Goldens(Path(sys.argv[1]))
    goldens.folder.mkdir(parents=True, exist_ok=True)
    for write in (write_records, write_blocks, write_segments, write_tolerated, write_damaged):
        write(goldens)


if __name__ == "__main__":
    main()
