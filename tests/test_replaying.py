"""A replay as a user means it: passes, parts, pieces joined before they are counted, and a stop in good order."""

from pathlib import Path

import pytest

from hftcap.capture.reader import Recording, open_recordings
from hftcap.clock import SystemClock
from hftcap.kernel import Selection
from hftcap.pacing import Pace, Pacer, mps_of, speed_of
from hftcap.replaying import PIECES_KEPT, Part, Replay
from hftcap.stats import collect, to_json
from tests.fakes import FakeClock
from tests.test_pipeline import write

ALL = Part(Selection())


def new_replay(folder: Path, pacer: Pacer | None = None, part: Part = ALL, **more) -> Replay:
    return Replay(lambda: open_recordings([folder]), pacer or Pacer(Pace(None), SystemClock()), part, **more)


def run(replay: Replay) -> int:
    """Play to the end; return the number of records handed over."""
    return sum(batch.records for batch in replay.batches())


@pytest.fixture
def folder(tmp_path) -> Path:
    write(tmp_path / "c")
    return tmp_path / "c"


@pytest.mark.parametrize("pace", [Pace(None), Pace(None, mps=mps_of(1_000_000))], ids=["at once", "in pieces"])
def test_the_counts_are_those_of_one_pass_over_the_capture(pace, folder):
    """However the records come, `stats` says what `hftcap stats` says."""
    replay = new_replay(folder, Pacer(pace, SystemClock()))
    assert run(replay) == replay.stats.records > 0
    assert to_json(replay.stats) == to_json(collect(open_recordings([folder])))


def test_passes_add_up_and_books_are_of_the_last(folder):
    """Each pass begins with books of its own; a loop that went on in old ones would find nothing but stale updates."""
    once, thrice = new_replay(folder), new_replay(folder, passes=3)
    assert run(thrice) == 3 * run(once)
    assert (thrice.passes, thrice.stats.records) == (3, 3 * once.stats.records)
    one, three = to_json(once.stats), to_json(thrice.stats)
    assert three["symbols"] == one["symbols"]
    assert three["by_type"] == {name: 3 * count for name, count in one["by_type"].items()}


def test_a_loop_without_end_stops_when_told(folder):
    """After the piece at hand nothing more comes, and what was handed over is counted."""
    told = 0
    pacer = Pacer(Pace(None, mps=mps_of(1_000_000)), SystemClock(), stopped=lambda: told > 500)
    replay = new_replay(folder, pacer, passes=None)
    for batch in replay.batches():
        told += batch.records
    assert told == replay.stats.records
    assert 500 < told < 500 + 257
    assert replay.passes == 1 + told // run(new_replay(folder))


def test_the_way_to_a_part_makes_no_further_pass_late(folder):
    """Each pass opens the capture and replays unseen up to the part; a loop over it keeps its pace all the same."""
    clock = FakeClock()

    def open_again() -> list[Recording]:
        clock.now_ns += 3_600_000_000_000
        return open_recordings([folder])

    stamps = [int(at) for chunk in open_recordings([folder])[0].chunks() for at in chunk.timeline_ns]
    pacer = Pacer(Pace(speed_of("1")), clock)
    part = Part(Selection(), start_ns=stamps[len(stamps) // 2])
    assert run(Replay(open_again, pacer, part, passes=3)) == pacer.lateness.n > 0
    assert pacer.lateness.max < 1_000_000
    assert pacer.planned_ns == 3 * (stamps[-1] - part.start_ns)


@pytest.mark.parametrize("mps", [None, "500000"])
def test_sinks_get_every_record_once_in_order(mps, folder):
    """Joined, at most a block at a time; together they are what came."""
    pace = Pace(None) if mps is None else Pace(None, mps=mps_of(mps))
    replay = new_replay(folder, Pacer(pace, SystemClock()))
    sunk = []
    replay.sinks.append(lambda rows: sunk.extend(zip(rows.block.tolist(), rows.record.tolist(), strict=True)))
    came = [(batch.chunk.position, int(row)) for batch in replay.batches() for row in batch.rows]
    assert sunk == came


def test_what_can_wait_comes_when_there_is_time(folder):
    """At a pace without rests so many pieces are counted together; with rests, in each of those what came before it."""
    for mps, sizes in (("1000", PIECES_KEPT), ("100", 1)):
        replay = new_replay(folder, Pacer(Pace(None, mps=mps_of(mps)), FakeClock()))
        sunk: list[int] = []
        replay.sinks.append(lambda rows, sunk=sunk: sunk.append(len(rows.pieces)))
        run(replay)
        assert len(sunk) > 1
        assert set(sunk[:-1]) == {sizes}


def test_a_part_begins_with_the_books_as_they_stand_there(folder):
    """From an instant on: as many records as lie there, and at the end the book of a whole replay."""
    stamps = [int(at) for chunk in open_recordings([folder])[0].chunks() for at in chunk.timeline_ns]
    middle = stamps[len(stamps) // 2]
    whole, part = new_replay(folder), new_replay(folder, part=Part(Selection(), start_ns=middle))
    run(whole)
    assert run(part) == sum(stamp >= middle for stamp in stamps)
    (book,), (expected,) = part.run.kernel.books.values(), whole.run.kernel.books.values()
    assert book.book.sha256() == expected.book.sha256()
    assert 0 < book.updates < expected.updates
    assert bool(Part(Selection())) is False
    assert Part(Selection(), until_ns=middle)
    assert Part(Selection(symbols=["X"]))
