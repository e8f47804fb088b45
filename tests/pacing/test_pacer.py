"""Records are handed over when they are due, all of them, in order; what delays them shows as lateness."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.capture.block import Block
from hftcap.capture.format import TimeBase
from hftcap.capture.merge import merged
from hftcap.capture.reader import Chunk, open_recording, open_recordings
from hftcap.capture.segment_writer import WallOffset
from hftcap.capture.writer import CaptureHead, CaptureWriter
from hftcap.clock import SystemClock
from hftcap.pacing import Pace, Pacer, mps_of, speed_of
from hftcap.pacing.pacer import PIECE_LEAST, PIECE_RECORDS, REST_NS, SLICE_NS, SPIN_NS
from tests.fakes import FakeClock

MS = 1_000_000
HEAD = CaptureHead("00112233445566aa", "spot", TimeBase.WALL, False, 0, "0.1.0")


class Stamps:
    """What the pacer looks at of a block."""

    def __init__(self, records: int) -> None:
        self.records = records


def chunks_of(*stamps: list[int]) -> list[Chunk]:
    """Return a chunk for each list of timeline stamps."""
    return [
        Chunk(Path("c"), number, Stamps(len(each)), np.array(each, dtype=np.int64))  # type: ignore[arg-type]
        for number, each in enumerate(stamps)
    ]


def handed(pacer: Pacer, chunks: list[Chunk], clock: FakeClock, work_ns: int = 0) -> list[tuple[int, int, int]]:
    """Return chunk, record and time of each record handed over, to a consumer that needs `work_ns` a record."""
    found = []
    for piece in pacer.pieces(chunks):
        assert piece.records <= PIECE_RECORDS
        now = clock.now_ns
        found += [(piece.position, record, now) for record in range(piece.first, piece.stop)]
        clock.now_ns += work_ns * piece.records
    return found


stamp_lists = st.lists(st.lists(st.integers(0, 50 * MS), max_size=8).map(sorted), min_size=1, max_size=5)


@given(stamp_lists, st.sampled_from(["0.5", "1", "7", "100"]), st.integers(0, 5 * MS), st.integers(0, 3 * MS))
def test_every_record_once_in_order_and_none_before_its_time(stamps, speed, work_ns, overshoot_ns):
    """Whatever the consumer takes and the sleeps overshoot; the lateness of each is its time less its due time."""
    clock = FakeClock(overshoot_ns=overshoot_ns)
    pacer = Pacer(Pace(speed_of(speed)), clock)
    chunks = chunks_of(*stamps)
    found = handed(pacer, chunks, clock, work_ns)
    assert [(position, record) for position, record, _ in found] == [
        (chunk.position, record) for chunk in chunks for record in range(chunk.records)
    ]
    if not found:
        assert pacer.lateness.n == 0
        return
    flat = [stamp for each in stamps for stamp in each]
    latest = np.maximum.accumulate(flat)
    due = [(int(at) - flat[0]) * 1_000 // int(float(speed) * 1_000) for at in latest]
    begin = pacer.schedule.begin_ns
    late = [now - begin - at for (_, _, now), at in zip(found, due, strict=True)]
    assert min(late) >= 0
    assert (pacer.lateness.n, pacer.lateness.min, pacer.lateness.max) == (len(flat), min(late), max(late))
    assert pacer.planned_ns == due[-1]
    assert pacer.actual_ns == found[-1][2] - begin


def test_the_last_stretch_is_spun_and_the_rest_slept():
    """No sleep ends behind the due time, and none is longer than a stop may take."""
    clock = FakeClock()
    pacer = Pacer(Pace(speed_of("1")), clock)
    found = handed(pacer, chunks_of([0, 300 * MS, 300 * MS + 100_000]), clock)
    assert found[1][2] - found[0][2] == pytest.approx(300 * MS, abs=200)
    assert max(clock.slept) <= SLICE_NS
    assert sum(clock.slept) <= 300 * MS - SPIN_NS + 1
    assert len(clock.slept) < 12
    assert pacer.lateness.max < 1_000, "a few looks at the clock, which this one charges for"


def test_a_slow_consumer_makes_lateness_and_catches_up():
    """Late by what it took, nothing lost; with time to spare it is on time again, because the anchor never moved."""
    clock = FakeClock()
    pacer = Pacer(Pace(speed_of("1")), clock)
    stamps = [at * MS for at in range(100)] + [500 * MS]
    found = handed(pacer, chunks_of(stamps), clock, work_ns=3 * MS)
    assert len(found) == 101
    assert pacer.lateness.max >= 180 * MS, "the last of a hundred began 297 ms in, and was due at 99"
    assert found[-1][2] - pacer.schedule.begin_ns == pytest.approx(500 * MS, abs=200)


def test_a_backlog_is_handed_over_in_bounded_pieces():
    """So that a stop is seen between, and lateness is measured anew for each."""
    clock = FakeClock()
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4

    pacer = Pacer(Pace(speed_of("1")), clock, stopped=stopped)
    found = handed(pacer, chunks_of([0] * 5_000), clock)
    assert 0 < len(found) <= 4 * PIECE_RECORDS


@pytest.mark.parametrize(("work_ns", "most"), [(1_000, PIECE_RECORDS), (100_000, 10), (10_000_000, PIECE_LEAST)])
def test_pieces_of_a_backlog_are_as_long_as_the_consumer_is_quick(work_ns, most):
    """So many records as it takes a millisecond for, going by the piece before; never more than the bounds."""
    clock = FakeClock(tick_ns=0)
    sizes = []
    for piece in Pacer(Pace(speed_of("1")), clock).pieces(chunks_of([0] * 2_000)):
        sizes.append(piece.records)
        clock.now_ns += work_ns * piece.records
    assert sum(sizes) == 2_000
    assert set(sizes[1:-1]) == {most}


def test_a_stop_ends_a_long_wait():
    """Within a slice of sleep, with what was handed over so far."""
    clock = FakeClock()
    stop = False
    pacer = Pacer(Pace(speed_of("1")), clock, stopped=lambda: stop)

    def ask() -> None:
        nonlocal stop
        stop = clock.now_ns > 100 * MS

    clock.then = ask
    found = handed(pacer, chunks_of([0, 3_600_000 * MS]), clock)
    assert [record for _, record, _ in found] == [0]
    assert clock.now_ns < 100 * MS + 2 * SLICE_NS


@pytest.mark.parametrize("speed", ["1", "max"])
def test_a_stop_is_obeyed_before_the_first_record_and_between_chunks(speed):
    """While it is being waited for to be ready, too; nothing more is handed over."""
    clock = FakeClock()
    seen: list[int] = []
    stop = True
    never_ready = Pacer(
        Pace(speed_of(speed)), clock, stopped=lambda: stop and seen == [1], ready=lambda: seen.append(1)
    )
    assert list(never_ready.pieces(chunks_of([0], [0]))) == []
    stop = False
    pacer = Pacer(Pace(speed_of(speed)), clock, stopped=lambda: stop)
    found = []
    for piece in pacer.pieces(chunks_of([0], [], [0])):
        found.append(piece.position)
        stop = True
    assert found == [0]


def test_the_pace_begins_when_it_is_said_to_be_ready():
    """The wait before counts neither as planned nor as late; it is asked for once, before the first record."""
    clock = FakeClock()
    calls = []

    def ready() -> None:
        calls.append(clock.now_ns)
        clock.now_ns += 10_000 * MS

    pacer = Pacer(Pace(speed_of("1")), clock, ready=ready)
    chunks = chunks_of([], [0, MS], [2 * MS])
    found = handed(pacer, chunks, clock) + handed(pacer, chunks, clock)
    assert len(calls) == 1
    assert found[0][2] > 10_000 * MS
    assert pacer.lateness.max < 1_000, "a few looks at the clock, which this one charges for"
    assert pacer.planned_ns == 4 * MS, "two passes, one after the other"


def test_a_pause_is_left_out_of_the_plan():
    """Neither the pause nor a way to the next record makes anything late; what was late before stays late."""
    clock = FakeClock()
    pacer = Pacer(Pace(speed_of("1")), clock)
    chunks = chunks_of([0, 10 * MS], [20 * MS])
    pacer.pause()  # before the beginning: nothing to leave out
    clock.now_ns += 1_000 * MS
    before_ns = clock.now_ns
    assert handed(pacer, chunks, clock, work_ns=7 * MS)[0][2] - before_ns < 1_000
    pacer.pause()
    clock.now_ns += 1_000 * MS
    found = handed(pacer, chunks, clock)
    assert found[-1][2] - found[0][2] == pytest.approx(13 * MS, abs=1_000), "the second pass caught up, and held once"
    assert pacer.lateness.max == pytest.approx(7 * MS, abs=1_000), "of the second pass's first record"
    assert (pacer.planned_ns, pacer.actual_ns) == (40 * MS, pytest.approx(40 * MS, abs=1_000))


def test_what_counts_is_asked_of_few_records_at_a_time():
    """What it takes to say delays a few, not a block; without a pace it is not asked at all."""
    asked: list[int] = []

    def counts(chunk: Chunk) -> np.ndarray:
        asked.append(chunk.records)
        clock.now_ns += chunk.records * 20_000
        return np.ones(chunk.records, dtype=np.bool_)

    clock = FakeClock()
    chunks = chunks_of([at * MS for at in range(1_000)], [], [1_000 * MS])
    pacer = Pacer(Pace(speed_of("1")), clock, counts=counts)
    assert [record for _, record, _ in handed(pacer, chunks, clock)] == [*range(1_000), 0]
    assert sum(asked) == pacer.lateness.n == 1_001
    assert pacer.lateness.max < 2 * MS
    assert [piece for piece in pacer.pieces(chunks) if not piece.records] == [chunks[1]], "its notes are not lost"
    asked.clear()
    assert list(Pacer(Pace(None), clock, counts=counts).pieces(chunks)) == chunks
    assert asked == []


def test_without_a_pace_nothing_waits_and_nothing_is_late():
    """Chunks go through as they are."""
    clock = FakeClock()
    chunks = chunks_of([0, 10**15], [], [10**16])
    assert list(Pacer(Pace(None), clock).pieces(chunks)) == chunks
    assert clock.slept == []


def test_what_does_not_count_is_handed_over_uncounted():
    """It goes with the others and in order; the rate and the lateness are of what counts."""
    clock = FakeClock()
    pacer = Pacer(Pace(None, mps=mps_of("1000")), clock, counts=lambda chunk: np.arange(chunk.records) % 3 == 0)
    found = handed(pacer, chunks_of(list(range(30))), clock)
    assert len(found) == 30
    assert pacer.lateness.n == 10
    assert pacer.planned_ns == 9 * MS


def test_rests_are_told_once_a_wait():
    """In a wait that is long enough, and in no other."""
    clock = FakeClock()
    pacer = Pacer(Pace(speed_of("1")), clock)
    rests: list[int] = []
    pacer.at_rest = lambda: rests.append(clock.now_ns)
    handed(pacer, chunks_of([0, MS, 2 * MS, 100 * MS, 101 * MS, 101 * MS + REST_NS * 2]), clock)
    assert len(rests) == 2


# Captures


def planned(paths: list[Path], speed: str = "1") -> tuple[list[int], Pacer]:
    """Replay captures by a fake clock; return when each record came, from the beginning, and the pacer."""
    clock = FakeClock()
    pacer = Pacer(Pace(speed_of(speed)), clock)
    found = handed(pacer, list(merged(open_recordings(paths))), clock)
    return [now - pacer.schedule.begin_ns for _, _, now in found], pacer


def test_a_step_of_the_wall_clock_does_not_change_the_pace(tmp_path):
    """The wall clock stepped an hour back and two forward while recording; records still come every 10 ms."""
    head = CaptureHead("00112233445566ab", "spot", TimeBase.MONOTONIC, False, 0, "0.1.0", boot_id="one")
    with CaptureWriter(tmp_path / "c", head, fsync=False) as writer:
        for number in range(30):
            if number % 10 == 0:
                offset = 1_700_000_000 * 10**9 + (0, -3_600, 7_200)[number // 10] * 10**9
                writer.wall = WallOffset(offset, 10)
            writer.add(b"%d" % number, number * 10 * MS)
    stamps = [int(at) for chunk in open_recording([tmp_path / "c"]).chunks() for at in chunk.block.recv_ns]
    assert stamps != sorted(stamps)
    came, pacer = planned([tmp_path / "c"])
    assert came == pytest.approx([number * 10 * MS for number in range(30)], abs=300)
    assert pacer.planned_ns == 290 * MS


def test_captures_of_two_boots_keep_their_pace(tmp_path):
    """Their monotonic clocks have nothing in common; between them the wall clock counts, within each its own."""
    for boot, capture_id, wall_s, mono_s in (
        ("one", "00112233445566aa", 1_000, 50_000),
        ("two", "8899aabbccddeeff", 1_001, 7),
    ):
        head = CaptureHead(capture_id, "spot", TimeBase.MONOTONIC, False, 0, "0.1.0", boot_id=boot)
        with CaptureWriter(tmp_path / boot, head, fsync=False) as writer:
            writer.wall = WallOffset((wall_s - mono_s) * 10**9, 10)
            for number in range(10):
                writer.add(boot.encode(), mono_s * 10**9 + number * 20 * MS)
    came, _ = planned([tmp_path / "one", tmp_path / "two"])
    expected = [number * 20 * MS for number in range(10)]
    assert came == pytest.approx(expected + [1_000 * MS + at for at in expected], abs=300)


def test_on_the_real_clock_there_is_no_drift(tmp_path):
    """Ten seconds at tenfold speed: the last 500 as punctual as the first, the end as planned; best of three."""
    with CaptureWriter(tmp_path / "c", HEAD, block_bytes=20_000, fsync=False) as writer:
        for number in range(4_000):
            writer.add(b"x" * 100, number * 2_500_000)
    tries = []
    for _ in range(3):
        clock = SystemClock()
        pacer = Pacer(Pace(speed_of("10")), clock)
        late: list[int] = []
        chunks = open_recording([tmp_path / "c"]).chunks()
        for piece in pacer.pieces(chunks):
            now = clock.mono_ns() - pacer.schedule.begin_ns
            late += [now - int(at) // 10 for at in piece.timeline_ns[piece.rows]]
        assert len(late) == pacer.lateness.n == 4_000
        drift = abs(float(np.median(late[-500:]) - np.median(late[:500])))
        tries.append((drift, pacer.actual_ns - pacer.planned_ns))
        if drift < 200_000 and tries[-1][1] < 20 * MS:
            return
    raise AssertionError(f"drift and end after plan, ns: {tries}")


def test_blocks_are_what_the_pacer_takes():
    """The stand-in above has what the pacer uses of a real block."""
    assert hasattr(Block, "records")
