"""A capture that is known byte for byte, ways to damage it, and the judgement of what is read back.

What a damage may cost is said before it is read: which blocks it touches, and whether anything in the files still
tells how many records that is. `judge` holds verify and the reader to it.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from hftcap.capture.block import Block, decode_block
from hftcap.capture.decode import Decoder, StoredBlock
from hftcap.capture.format import BLOCK_HEADER_BYTES, FRAME, TAIL_MAGIC, Flaw, Kind, TimeBase, unpack_block_header
from hftcap.capture.reader import open_recordings
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.errors import CaptureError
from hftcap.verify import Verdict, verify

HEAD = CaptureHead("00112233445566ff", "spot", TimeBase.MONOTONIC, False, 1_723_161_600_000_000_000, "0.1.0")
FOREIGN = replace(HEAD, capture_id="ffeeddccbbaa9988")
REGIONS = ("preamble", "header", "columns", "notes", "payloads", "footer")
ZEROS = 64


def write_small(folder: Path, head: CaptureHead = HEAD, *, segments: int = 3, blocks: int = 5) -> None:
    """Write a capture with notes in every block, payloads that compress and payloads that do not."""
    rng = random.Random(head.capture_id)
    with CaptureWriter(folder, head, fsync=False) as writer:
        for segment in range(segments):
            writer.begin_segment()
            for block in range(blocks):
                number = segment * blocks + block
                writer.wall = WallOffset(1_000_000 + number, 5)  # a new offset begins a block
                writer.note({"note": "clock", "block": number})
                for record in range(2 + number % 3):
                    noise = rng.randbytes(12).hex()
                    payload = f'{{"stream":"btcusdt@trade","data":{{"e":"trade","n":"{noise}","r":{record}}}}}'
                    time_ns = number * 1000 + record * 10
                    writer.add(payload.encode(), time_ns, kind=Kind.WS_TEXT, conn=record, flags=1, rx_lag_ns=record)


def unseal(folder: Path) -> None:
    """Take the footer off the last segment, and `.part` onto its name: its writer was killed."""
    last = Original(folder).names[-1]
    content = (folder / last).read_bytes()
    (folder / f"{last}.part").write_bytes(content[: Original(folder).footer_begin(last)])
    (folder / last).unlink()


@dataclass(frozen=True)
class Part:
    """A stretch of a file: one of REGIONS, and the sequence of its block where it is of one."""

    name: str
    begin: int
    end: int
    region: str
    sequence: int | None = None


@dataclass(frozen=True)
class BlockRead:
    """All that a block says: its payloads, its columns, its receive times."""

    records: int
    payloads: bytes
    columns: tuple[bytes, ...]


@dataclass(frozen=True)
class Damage:
    """What becomes of files, None where one is removed; which blocks that touches; whether the loss can be known.

    `known` is None where neither is promised: what an unsealed segment lost at its end, nothing in it tells.
    `may_be_harmless` is set where zstd can say the same in two ways. `refused` names a file that cannot be opened
    any more, so that a reader that is given the folder may refuse it.
    """

    what: str
    files: dict[str, bytes | None]
    touched: frozenset[int] = frozenset()
    known: bool | None = True
    may_be_harmless: bool = False
    refused: str | None = None


@dataclass
class Original:
    """A sound capture: its files, their parts, and what each block says."""

    folder: Path
    files: dict[str, bytes] = field(init=False)
    parts: list[Part] = field(init=False)
    blocks: dict[int, BlockRead] = field(init=False)

    def __post_init__(self) -> None:
        verdict = verify([self.folder])
        assert [found.what for found in verdict.findings] in ([], ["not sealed: its writer stopped"])
        self.files = {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}
        self.parts = [part for name, content in self.files.items() for part in _parts(name, content)]
        self.blocks, _ = read_back([self.folder])

    @property
    def names(self) -> list[str]:
        return list(self.files)

    def spans(self, name: str | None = None) -> list[tuple[str, int, int, int]]:
        """Return (file, begin, end, sequence) of every block, of one file or of all."""
        found: dict[int, tuple[str, int, int, int]] = {}
        for part in self.parts:
            if part.sequence is not None and name in (None, part.name):
                begin = found.get(part.sequence, (part.name, part.begin))[1]
                found[part.sequence] = (part.name, begin, part.end, part.sequence)
        return list(found.values())

    def footer_begin(self, name: str) -> int:
        return next(part.begin for part in self.parts if part.name == name and part.region == "footer")


def _parts(name: str, content: bytes) -> Iterator[Part]:
    """Lay out a sound segment."""
    at = FRAME.size + FRAME.unpack_from(content)[1]
    yield Part(name, 0, at, "preamble")
    for stored in Decoder().feed(content):
        if isinstance(stored, StoredBlock):
            header = stored.header
            for region, length in (
                ("header", FRAME.size + BLOCK_HEADER_BYTES),
                ("columns", header.columns_stored),
                ("notes", header.notes_stored),
                ("payloads", header.payloads_stored),
            ):
                yield Part(name, at, at + length, region, header.sequence)
                at += length
    if at < len(content):
        yield Part(name, at, len(content), "footer")


def read_back(paths: list[Path], capture_id: str | None = None) -> tuple[dict[int, BlockRead], int]:
    """Return what every block that is read says, by sequence, and how many findings there were."""
    blocks: dict[int, BlockRead] = {}
    findings = 0
    for recording in open_recordings(paths):
        for chunk in recording.chunks():
            header, columns = chunk.block.header, chunk.block.columns
            rows = (
                columns.length,
                columns.time_ns,
                chunk.block.recv_ns,
                columns.rx_lag_ns,
                columns.kind,
                columns.conn,
                columns.flags,
            )
            assert capture_id in (None, header.capture_id.hex()), "a foreign block was read"
            assert not blocks or header.sequence > max(blocks), "a block was read out of its turn"
            whole = tuple(row.tobytes() for row in rows)
            blocks[header.sequence] = BlockRead(chunk.records, chunk.block.payloads, whole)
        findings += len(recording.findings)
    return blocks, findings


@dataclass(frozen=True)
class Outcome:
    """What came of a damage; `lost` is the number of records that are not read any more."""

    noticed: bool
    lost: int
    blocks_lost: int
    verdict: Verdict | None
    read: dict[int, BlockRead]


class Judge:
    """Applies damages to a copy of a capture and holds what is read back against the promises."""

    def __init__(self, original: Original, scratch: Path) -> None:
        self.original = original
        self.folder = scratch
        self.folder.mkdir()
        for name, content in original.files.items():
            (self.folder / name).write_bytes(content)

    def apply(self, damage: Damage) -> None:
        """Put a damage into the copy."""
        for name, content in damage.files.items():
            if content is None:
                (self.folder / name).unlink()
            else:
                (self.folder / name).write_bytes(content)

    def restore(self, damage: Damage) -> None:
        """Take it out again."""
        for name in damage.files:
            if name in self.original.files:
                (self.folder / name).write_bytes(self.original.files[name])
            else:
                (self.folder / name).unlink()

    def judge(self, damage: Damage) -> Outcome:
        """Apply a damage, read, restore; an AssertionError names the promise that was broken."""
        self.apply(damage)
        try:
            return self._judge(damage)
        except AssertionError as error:
            raise AssertionError(f"{damage.what}: {error}") from error
        finally:
            self.restore(damage)

    def _judge(self, damage: Damage) -> Outcome:
        blocks = self.original.blocks
        try:
            verdict = verify([self.folder])
        except CaptureError:
            # Only where nothing at all can be read is a capture refused.
            assert damage.touched == set(blocks), "refused, and something in it is whole"
            lost = sum(block.records for block in blocks.values())
            return Outcome(True, lost, len(blocks), None, {})
        paths = sorted(path for path in self.folder.iterdir() if path.name != damage.refused)
        if damage.refused is not None:
            assert any(found.path.name == damage.refused for found in verdict.findings), "the refused file is not named"
        read, findings = read_back(paths, self.capture_id)
        for sequence, block in read.items():
            assert block == blocks.get(sequence), f"block {sequence} is not what was written"
        gone = set(blocks) - set(read)
        assert gone <= damage.touched, f"blocks {sorted(gone - damage.touched)} are lost, and were not touched"
        lost = sum(blocks[sequence].records for sequence in gone)
        assert (verdict.blocks, verdict.records) == (len(read), sum(block.records for block in read.values()))
        assert findings <= len(verdict.findings), "the reader found more than verify"
        if verdict.ok:
            assert damage.may_be_harmless, "unnoticed"
            assert not gone
            assert verdict.lost_records == 0
        elif damage.known is not None:
            assert verdict.lost_records == (lost if damage.known else None), f"{verdict}, truly lost {lost}"
        return Outcome(not verdict.ok, lost, len(gone), verdict, read)

    @property
    def capture_id(self) -> str:
        return next(iter(open_recordings([self.original.folder]))).preamble.capture_id


def _is_sealed(content: bytes) -> bool:
    return content.endswith(TAIL_MAGIC)


def cut(original: Original, name: str, length: int) -> Damage:
    """Cut a segment: what stood behind the cut, nobody knows."""
    touched = frozenset(sequence for _, _, end, sequence in original.spans(name) if end > length)
    preamble = next(part for part in original.parts if part.name == name)
    content = original.files[name][:length]
    refused = name if length < preamble.end else None
    known = False if _is_sealed(original.files[name]) else None
    return Damage(f"{name} cut at {length}", {name: content}, touched, known=known, refused=refused)


def dropped(original: Original, sequence: int) -> Damage:
    name, begin, end, _ = original.spans()[sequence]
    content = original.files[name]
    return Damage(f"block {sequence} dropped", {name: content[:begin] + content[end:]}, frozenset({sequence}))


def doubled(original: Original, sequence: int) -> Damage:
    name, begin, end, _ = original.spans()[sequence]
    content = original.files[name]
    return Damage(f"block {sequence} doubled", {name: content[:end] + content[begin:]})


def swapped(original: Original, sequence: int) -> Damage:
    """Swap a block with the next: the later one is read, the earlier one then stands out of its turn."""
    name, begin, middle, _ = original.spans()[sequence]
    after, _, end, _ = original.spans()[sequence + 1]
    assert after == name
    content = original.files[name]
    mixed = content[:begin] + content[middle:end] + content[begin:middle] + content[end:]
    return Damage(f"blocks {sequence} and {sequence + 1} swapped", {name: mixed}, frozenset({sequence}))


def spliced(original: Original, other: Original, sequence: int, *, instead: bool) -> Damage:
    """Put in another capture's block, before this capture's own or in its place."""
    name, begin, end, _ = original.spans()[sequence]
    theirs, their_begin, their_end, _ = other.spans()[sequence]
    content, block = original.files[name], other.files[theirs][their_begin:their_end]
    mixed = content[:begin] + block + content[end if instead else begin :]
    what = f"foreign block {'in place of' if instead else 'before'} block {sequence}"
    return Damage(what, {name: mixed}, frozenset({sequence} if instead else ()))


def segment_deleted(original: Original, name: str) -> Damage:
    touched = frozenset(sequence for *_, sequence in original.spans(name))
    return Damage(f"{name} deleted", {name: None}, touched, known=False)


def segment_doubled(original: Original, name: str) -> Damage:
    return Damage(f"{name} doubled", {f"copy-{name}": original.files[name]})


def flipped(original: Original, part: Part, at: int, bit: int) -> Damage:
    """Flip one bit. Only inside a payload frame may that change nothing: there zstd can say the same in two ways."""
    content = bytearray(original.files[part.name])
    content[at] ^= 1 << bit
    touched = frozenset() if part.sequence is None else frozenset({part.sequence})
    harmless = False
    if part.region == "payloads":
        assert part.sequence is not None
        (head,) = (each for each in original.parts if (each.sequence, each.region) == (part.sequence, "header"))
        header = unpack_block_header(bytes(content[head.begin + FRAME.size : head.end]))
        assert not isinstance(header, Flaw)
        inside = decode_block(header, bytes(content[head.end : part.end]), TimeBase.MONOTONIC)
        same = isinstance(inside, Block) and bytes(inside.payloads) == original.blocks[part.sequence].payloads
        # Behind the frame header descriptor, before the checksum, and the content is the same bytes. Which bits have no
        # effect depends on the version of libzstd.
        harmless = part.begin + 5 <= at < part.end - 4 and same
    if part.region == "footer":
        # The last 16 bytes: own offset, crc, magic. The crc is of what stands before them.
        known = len(content) - 16 <= at < len(content) - 8
    else:
        # What the header says of itself holds where its 124 bytes and their crc are whole; else only the index tells.
        known = _is_sealed(original.files[part.name]) or part.region != "header" or at < part.begin + FRAME.size
    what = f"bit {bit} of byte {at} of {part.name} flipped, in the {part.region}"
    return Damage(what, {part.name: bytes(content)}, touched, known=known, may_be_harmless=harmless)


def flips(original: Original, region: str, count: int, seed: int) -> Iterator[Damage]:
    """Flip random bits of one region, every byte of it as likely as any other."""
    rng = random.Random(f"{seed} {region}")
    parts = [part for part in original.parts if part.region == region and part.end > part.begin]
    weights = [part.end - part.begin for part in parts]
    for part in rng.choices(parts, weights, k=count):
        yield flipped(original, part, rng.randrange(part.begin, part.end), rng.randrange(8))


def zeroed(original: Original, name: str, at: int) -> Damage | None:
    """Zero 64 bytes, as a lost write does; None where they are zero already."""
    content = original.files[name]
    end = min(at + ZEROS, len(content))
    what = f"{name} zeroed from {at}"
    changed = content[:at] + bytes(end - at) + content[end:]
    if changed == content:
        return None
    touched = frozenset(sequence for _, begin, stop, sequence in original.spans(name) if begin < end and at < stop)
    if _is_sealed(content):
        return Damage(what, {name: changed}, touched, known=end <= original.footer_begin(name))
    if not at:
        # Neither magic is left, and there is no footer: nothing says any more that this is a capture.
        everything = frozenset(sequence for *_, sequence in original.spans(name))
        return Damage(what, {name: changed}, everything, known=False, refused=name)
    hit = [part.region for part in original.parts if part.name == name and part.begin < end and at < part.end]
    return Damage(what, {name: changed}, touched, known="header" not in hit)
