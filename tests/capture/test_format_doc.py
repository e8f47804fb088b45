"""docs/format.md against the code: what is normative there holds here, byte for byte."""

import dataclasses
import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from msgspec import structs

from hftcap.capture import format as wire
from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.footer import Footer, Totals
from hftcap.capture.format import Kind, RecordFlags, TimeBase, stored_most
from hftcap.capture.preamble import Preamble
from hftcap.capture.reader import open_recording
from hftcap.capture.writer import CaptureHead, CaptureWriter

DOCUMENT = (Path(__file__).parents[2] / "docs/format.md").read_text()
LINE = re.compile(r" *(\d+)  (?:`(?P<text>.*)`|(?P<hex>(?:[0-9a-f]{2} )*[0-9a-f]{2}) +; (?P<meaning>.+))")
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8, "4 bytes": 4, "8 bytes": 8, "12 bytes": 12}
WHOLE = re.compile(r"\d+")


def section(title: str) -> str:
    """Return the text under a heading, up to the next heading of any level."""
    return re.split(r"^#+ ", DOCUMENT.split(f"# {title}\n")[1], flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows in `text`, the heads with an offset, key or type and the rules left out."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip().strip("`") for cell in line] for line in lines if line[0] not in {"Offset", "Key", "Type", "---"}
    ]


def fields(text: str) -> list[tuple[int, str, str]]:
    """Return offset, type and name of every field of fixed place in the tables of `text`."""
    return [(int(row[0]), row[1], row[2]) for row in rows(text) if WHOLE.fullmatch(row[0])]


def listing() -> list[tuple[int, bytes, str]]:
    """Return the lines of the smallest capture: offset, bytes, meaning."""
    found = []
    for line in DOCUMENT.split("```listing\n")[1].split("```")[0].splitlines():
        match = LINE.fullmatch(line)
        assert match, f"not a line of the listing: {line}"
        content = match["text"].encode() if match["text"] else bytes.fromhex(match["hex"])
        found.append((int(match[1]), content, match["meaning"] or ""))
    return found


LISTED = b"".join(content for _, content, _ in listing())
PAYLOAD = b'{"e":"trade"}'
STAMP_NS = 1_723_161_600_001_658_384


def at(offset: int, kind: str) -> int:
    """Return the integer at an offset of the listed file."""
    return struct.unpack_from("<" + {"u16": "H", "u32": "I", "u64": "Q", "i64": "q"}[kind], LISTED, offset)[0]


@pytest.fixture
def written(tmp_path) -> bytes:
    """Return what the writer makes of the listed capture's record."""
    head = CaptureHead("0123456789abcdef", "spot", TimeBase.WALL, False, 1_723_161_600_000_000_000, "0.1.0")
    with CaptureWriter(tmp_path, head) as writer:
        writer.add(PAYLOAD, STAMP_NS, conn=1)
    (path,) = writer.sealed
    assert path.name in DOCUMENT
    return path.read_bytes()


def parts_of(content: bytes) -> tuple[Preamble, StoredBlock, Footer]:
    decoder = Decoder()
    preamble, stored, footer = decoder.feed(content) + decoder.finish()
    assert isinstance(preamble, Preamble) and isinstance(stored, StoredBlock) and isinstance(footer, Footer)
    return preamble, stored, footer


def test_the_listing_has_no_gap():
    """Every line stands at its offset, and the document says how long the file is."""
    place = 0
    for offset, content, _ in listing():
        assert offset == place
        place += len(content)
    assert f"{place} bytes in all" in DOCUMENT


def test_the_decoder_reads_the_listing_as_the_document_explains_it():
    """Each fact said beside the bytes is what the decoder finds in them."""
    preamble, stored, footer = parts_of(LISTED)
    block = decode_block(stored.header, stored.body, preamble.time_base)
    assert isinstance(block, Block)
    assert preamble == Preamble(
        "0123456789abcdef", 0, None, "spot", TimeBase.WALL, False, STAMP_NS - 1_658_384, "0.1.0", timeline_offset_ns=0
    )
    header = stored.header
    assert (stored.offset, header.records, header.sequence, header.capture_id.hex()) == (309, 1, 0, preamble.capture_id)
    assert (header.wall_offset_ns, header.wall_error_ns) == (0, 0)
    assert (header.min_mono_ns, header.max_mono_ns) == (wire.NONE_NS, wire.NONE_NS)
    assert (header.min_recv_ns, header.max_recv_ns) == (STAMP_NS, STAMP_NS)
    assert (header.columns_raw, header.notes_stored, header.notes_raw, header.payloads_raw) == (24, 0, 0, 14)
    columns = block.columns
    assert (columns.time_ns.tolist(), columns.rx_lag_ns.tolist()) == ([STAMP_NS], [wire.NONE_NS])
    assert (columns.kind.tolist(), columns.conn.tolist(), columns.flags.tolist()) == ([Kind.WS_TEXT], [1], [0])
    assert (block.payload_list(), block.notes, block.recv_ns.tolist()) == ([PAYLOAD], [], [STAMP_NS])
    assert (header.span, header.next_sequence) == (1, 1)
    (entry,) = footer.entries
    assert (entry.offset, entry.sequence, entry.records, entry.raw_bytes, entry.span) == (309, 0, 1, 14, 1)
    assert (entry.min_mono_ns, entry.max_mono_ns, entry.min_recv_ns, entry.max_recv_ns) == (
        header.min_mono_ns,
        header.max_mono_ns,
        header.min_recv_ns,
        header.max_recv_ns,
    )
    assert footer.totals["records"] == 1 and footer.totals["payload_bytes"] == len(PAYLOAD)
    assert footer.totals["first_recv_ns"] == footer.totals["last_recv_ns"] == STAMP_NS
    assert footer.preamble == preamble


def test_the_numbers_beside_the_listing_are_those_in_its_bytes():
    """A meaning that ends in a count of bytes, records or a place says what the bytes say."""
    said = {offset: (content, meaning) for offset, content, meaning in listing() if meaning}
    counts = {4: 301, 20: 281, 313: 165, 393: 37, 397: 24, 409: 27, 413: 14, 425: 1, 513: 554, 533: 454, 593: 1}
    for offset, expected in counts.items():
        content, meaning = said[offset]
        assert int.from_bytes(content, "little") == expected
        assert str(expected) in meaning
    assert at(537, "u64") == 309 and at(1055, "u64") == 509
    for offset, begin, end in ((305, 8, 305), (441, 317, 441), (417, 445, 482), (1063, 517, 1055)):
        content, meaning = said[offset]
        assert int.from_bytes(content, "little") == zlib.crc32(LISTED[begin:end])
        assert f"{begin} to {end - 1}" in meaning
    assert said[421][0] == said[505][0]
    assert LISTED[773:1054] == LISTED[24:305]


def test_the_writer_makes_the_listed_capture(written):
    """All that is ours is the same byte for byte; what libzstd compressed is the same once opened."""
    listed, made = parts_of(LISTED), parts_of(written)
    preamble_end = 309
    assert written[:preamble_end] == LISTED[:preamble_end]
    assert made[0] == listed[0]
    compressed = {"columns_stored", "payloads_stored", "crc_columns_notes"}
    header, expected = structs.asdict(made[1].header), structs.asdict(listed[1].header)
    assert {key: header[key] for key in header if key not in compressed} == {
        key: expected[key] for key in expected if key not in compressed
    }
    opened = [decode_block(stored.header, stored.body, TimeBase.WALL) for _, stored, _ in (listed, made)]
    assert all(isinstance(block, Block) for block in opened)
    assert opened[0].columns.pack() == opened[1].columns.pack()
    assert opened[0].payloads == opened[1].payloads == PAYLOAD + b"\n"
    assert made[2] == listed[2]
    footer_at = made[1].offset + made[1].header.block_bytes
    assert written[footer_at:-16] == LISTED[509:-16]
    assert written[-16:-8] == struct.pack("<Q", footer_at)
    assert written[-8:] == LISTED[-8:]


def test_the_listed_file_is_a_recording(tmp_path):
    """The document's own file opens without a finding, and its last 16 bytes lead to its index."""
    path = tmp_path / "listed.hcap.zst"
    path.write_bytes(LISTED)
    recording = open_recording([path])
    assert [chunk.block.payload_list() for chunk in recording.chunks()] == [[PAYLOAD]]
    assert recording.findings == []
    own_offset, _, magic = wire.TAIL.unpack(LISTED[-16:])
    assert LISTED[own_offset + 8 : own_offset + 16] == wire.FOOTER_MAGIC and magic == wire.TAIL_MAGIC


@pytest.mark.parametrize(
    ("title", "layout", "names"),
    [
        ("Header", wire.BLOCK_HEAD.format + "I", 23),
        ("Preamble", wire.PREAMBLE_HEAD.format, 4),
    ],
    ids=["block header", "preamble"],
)
def test_tables_have_the_layout_of_the_code(title, layout, names):
    """Offsets and types of a table follow each other without gap, and are those that the code packs."""
    table = fields(section(title))[:names]
    place = 0
    for (offset, kind, name), code in zip(table, re.findall(r"\d*s|[A-Za-z]", layout.lstrip("<")), strict=True):
        assert offset == place, name
        assert SIZES[kind] == struct.calcsize("<" + code), name
        assert kind.startswith("i") == (code == "q"), name
        place += SIZES[kind]


def test_footer_tables_have_the_layout_of_the_code():
    """The footer's head and its entries follow each other as packed."""
    table = fields(section("Footer"))
    head, index, entry = table[:5], table[5], table[6:]
    assert [row[0] for row in head] == [0, 8, 10, 12, 16]
    assert index == (20, "64 × entries", "index")
    assert sum(SIZES[kind] for _, kind, _ in entry) == wire.FOOTER_ENTRY.size == 64
    place = 0
    for (offset, kind, name), code in zip(entry, wire.FOOTER_ENTRY.format.lstrip("<"), strict=True):
        assert offset == place, name
        assert SIZES[kind] == struct.calcsize("<" + code), name
        assert kind.startswith("i") == (code == "q"), name
        place += SIZES[kind]
    assert [row[1] for row in rows(section("Footer")) if row[0].startswith("end - ")] == ["u64", "u32", "4 bytes"]


def test_columns_of_the_document_are_those_of_the_code():
    """Six columns, in the order and of the width in which they are packed, 24 bytes in all."""
    table = [row for row in rows(section("Columns")) if row[0] in SIZES]
    assert [row[1] for row in table] == ["length", "time", "rx_lag", "kind", "connection", "flags"]
    assert sum(SIZES[row[0]] for row in table) == wire.COLUMN_BYTES
    for kind, words in zip(Kind, ("websocket text", "websocket binary", "REST body"), strict=True):
        assert f"{kind.value} {words}" in table[3][2]
    assert [flag.value for flag in RecordFlags] == [1 << bit for bit in range(2)]


def test_json_keys_of_the_document_are_those_of_the_code():
    """Every key of preamble and footer is documented, and no other."""
    keys = [row[0] for row in rows(section("Preamble")) if not WHOLE.match(row[0]) and "length" not in row[0]]
    assert keys == [field.name for field in dataclasses.fields(Preamble)]
    places = re.compile(r"\d+|then|end - \d+")
    keys = [row[0] for row in rows(section("Footer")) if not places.fullmatch(row[0])]
    assert keys == [*Totals.__annotations__, "preamble"]
    assert list(json.loads(LISTED[601:1055])) == keys


def test_limits_of_the_document_are_those_of_the_code():
    """What writers refuse and readers check is what the document allows."""
    table = dict(rows(section("Limits")))
    mib = {"payload": wire.PAYLOAD_MAX, "payloads of a block, raw": wire.BLOCK_RAW_MAX}
    mib |= {"notes of a block, raw": wire.NOTES_RAW_MAX, "JSON of a preamble, of a footer": wire.JSON_MAX}
    for name, limit in mib.items():
        assert table[name].startswith(f"{limit >> 20} MiB") and limit % (1 << 20) == 0
    assert table["records of a block"] == f"2^{wire.RECORDS_MAX.bit_length() - 1}"
    assert table["span of a block"] == "2^32 - 1, and at least 1"
    assert table["blocks of a segment"] == f"2^{wire.ENTRIES_MAX.bit_length() - 1}"
    assert f"{wire.BLOCK_LEAST} bytes" in table["entries of a footer"]
    assert "raw + raw / 256" in table["columns, notes or payloads stored"]
    assert stored_most(2560) == 2560 + 10 + 128


def test_magics_and_versions_of_the_document_are_those_of_the_code():
    """The bytes that identify a capture are written down once and right."""
    for name, magic in (("preamble", wire.PREAMBLE_MAGIC), ("block", wire.BLOCK_MAGIC), ("footer", wire.FOOTER_MAGIC)):
        assert re.search(rf"\| {name} \| .* \| `{magic.hex(' ')}` \|", DOCUMENT)
    assert f"0x{wire.SKIPPABLE_MAGIC:08X}" in DOCUMENT
    assert DOCUMENT.startswith(f"# Capture format\n\nFormat version {wire.FORMAT_VERSION} · document version ")
    assert f"- **{wire.FORMAT_VERSION}**:" in section("Version changes")
