"""A snapshot and a stream of diffs become the true book, or the state says that they did not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.binance.depth_sync import BookState, DepthSync, Verdict
from hftcap.binance.messages import DepthDiff, RestDepth
from hftcap.book.levels import Levels

SPOT, FUTURES = False, True
PARTIAL, BUFFERING, SYNCED, GAP = BookState.PARTIAL, BookState.BUFFERING, BookState.SYNCED, BookState.GAP
BOTH_MARKETS = pytest.mark.parametrize("futures", [SPOT, FUTURES], ids=["spot", "futures"])
EITHER_START = pytest.mark.parametrize("expects_snapshot", [True, False], ids=["recording", "import"])


def diff(first_id, final_id, previous_id=None, bids=(), asks=()):
    """Make an update with these ids and levels."""
    return DepthDiff(
        first_update_id=first_id,
        final_update_id=final_id,
        prev_final_update_id=previous_id,
        bids=list(bids),
        asks=list(asks),
    )


def chained(futures, *ranges):
    """Make updates of these id ranges; on futures each names the end of the range before it."""
    previous = [ranges[0][0] - 1, *(final_id for _, final_id in ranges)]
    return [
        diff(first_id, final_id, previous[i] if futures else None, [(i + 1, final_id)])
        for i, (first_id, final_id) in enumerate(ranges)
    ]


def snapshot(update_id, bids=(), asks=()):
    """Make a REST snapshot."""
    return RestDepth(update_id=update_id, bids=list(bids), asks=list(asks))


class Follower:
    """A `DepthSync` with the book it asks for."""

    def __init__(self, futures, expects_snapshot=True):
        self.sync = DepthSync(futures=futures, expects_snapshot=expects_snapshot)
        self.book = Levels()
        self.book_id = None

    def take(self, message):
        """Pass a message on, apply the changes to the book and return the verdict."""
        snapshot_came = isinstance(message, RestDepth)
        outcome = self.sync.snapshot(message) if snapshot_came else self.sync.update(message)
        for change in outcome.changes:
            if change.reset:
                self.book = Levels()
            self.book.apply(change.bids, change.asks)
            self.book_id = change.final_update_id
        return outcome.verdict

    def take_all(self, *messages):
        """Pass several messages on and return their verdicts."""
        return [self.take(message) for message in messages]

    @property
    def state(self):
        """The state now."""
        return self.sync.state

    @property
    def levels(self):
        """All levels, bids and asks."""
        return self.book.bids(), self.book.asks()


def synced(futures, at=100):
    """Return a follower in sync at an id, its feed begun there."""
    follower = Follower(futures)
    follower.take_all(diff(at, at, at - 1 if futures else None), snapshot(at))
    assert (follower.state, follower.book_id) == (SYNCED, at)
    return follower


# What an update is to the feed: `p` is 100, the last accepted id.

CONTINUITY = [
    (SPOT, 90, 99, None, Verdict.STALE),
    (SPOT, 90, 100, None, Verdict.STALE),
    (SPOT, 100, 100, None, Verdict.STALE),
    (SPOT, 101, 101, None, Verdict.FOLLOWS),
    (SPOT, 101, 200, None, Verdict.FOLLOWS),
    (SPOT, 100, 101, None, Verdict.FOLLOWS),  # overlap is safe: sizes are absolute
    (SPOT, 90, 110, None, Verdict.FOLLOWS),
    (SPOT, 102, 102, None, Verdict.GAP),
    (SPOT, 103, 110, None, Verdict.GAP),
    (FUTURES, 80, 99, 70, Verdict.STALE),
    (FUTURES, 80, 100, 70, Verdict.STALE),
    (FUTURES, 95, 100, 100, Verdict.STALE),
    (FUTURES, 101, 101, 100, Verdict.FOLLOWS),
    (FUTURES, 105, 110, 100, Verdict.FOLLOWS),  # ids are shared by many symbols: only `pu` tells
    (FUTURES, 90, 110, 80, Verdict.FOLLOWS),
    (FUTURES, 105, 110, 99, Verdict.FOLLOWS),
    (FUTURES, 101, 110, 101, Verdict.GAP),
    (FUTURES, 105, 110, 103, Verdict.GAP),
]


@pytest.mark.parametrize(("futures", "first_id", "final_id", "previous_id", "verdict"), CONTINUITY)
@pytest.mark.parametrize("start", ["partial", "buffering", "synced", "gap"])
def test_continuity_is_judged_by_the_last_accepted_id_in_every_state(
    start, futures, first_id, final_id, previous_id, verdict
):
    """Stale where `u <= p`; follows where spot `U <= p + 1`, futures `pu <= p`; otherwise a gap, and `p` moves."""
    follower = Follower(futures, expects_snapshot=start != "partial")
    follower.take(diff(50, 50, 49 if futures else None))
    if start in ("synced", "gap"):
        follower.take(snapshot(50))
    if start in ("partial", "buffering", "synced"):
        follower.take(diff(51, 100, 50 if futures else None))
    else:
        assert follower.take(diff(60, 100, 59 if futures else None)) is Verdict.GAP
    sync = follower.sync
    before, stale, gaps = follower.state, sync.stale, sync.gaps
    assert (before.value, sync.feed_id) == (start, 100)
    assert follower.take(diff(first_id, final_id, previous_id)) is verdict
    assert sync.stale - stale == (verdict is Verdict.STALE)
    assert sync.gaps - gaps == (verdict is Verdict.GAP)
    assert sync.feed_id == (100 if verdict is Verdict.STALE else final_id)
    assert follower.state is (GAP if verdict is Verdict.GAP and before is SYNCED else before)


@BOTH_MARKETS
@EITHER_START
def test_the_first_update_of_a_feed_follows_nothing(futures, expects_snapshot):
    """Without an id before it no update is stale or behind a gap, whatever its ids."""
    follower = Follower(futures, expects_snapshot)
    assert follower.take(diff(1_000, 1_010, 900 if futures else None)) is Verdict.FOLLOWS
    assert (follower.sync.feed_id, follower.sync.gaps, follower.sync.stale) == (1_010, 0, 0)


@BOTH_MARKETS
def test_snapshots_do_not_move_the_last_accepted_id(futures):
    """The counts are of the feed: a snapshot far ahead of it makes no later update stale and hides no gap."""
    follower = Follower(futures)
    one, two, four = diff(101, 110, 100), diff(111, 120, 110), diff(131, 140, 130)
    assert follower.take_all(one, snapshot(200)) == [Verdict.FOLLOWS, Verdict.JOINS]
    assert follower.sync.feed_id == 110
    assert follower.take_all(two, four, one) == [Verdict.FOLLOWS, Verdict.GAP, Verdict.STALE]
    assert (follower.sync.feed_id, follower.sync.gaps, follower.sync.stale) == (140, 1, 1)
    assert (follower.state, follower.book_id) == (SYNCED, 200), "the snapshot holds what was missed"


@given(
    st.booleans(),
    st.booleans(),
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 40), st.integers(0, 6), st.integers(0, 8)),
            st.integers(-1, 45),
        ),
        max_size=30,
    ),
)
@settings(max_examples=300)
def test_the_counts_are_those_of_the_rule_whatever_arrives(futures, expects_snapshot, arrivals):
    """Any ids in any order, with snapshots between: stale, gaps and last id follow from the updates alone."""
    follower = Follower(futures, expects_snapshot)
    last, stale, gaps = None, 0, 0
    for arrival in arrivals:
        if isinstance(arrival, int):
            follower.take(snapshot(arrival))
            continue
        first_id, more, back = arrival
        final_id, previous_id = first_id + more, max(first_id - 1 - back, -1) if futures else None
        follower.take(diff(first_id, final_id, previous_id))
        if last is not None and final_id <= last:
            stale += 1
            continue
        if last is not None and (previous_id > last if futures else first_id > last + 1):
            gaps += 1
        last = final_id
    assert (follower.sync.feed_id, follower.sync.stale, follower.sync.gaps) == (last, stale, gaps)


# Which update may be the first behind a snapshot: L is 100.

FIRST_BEHIND_A_SNAPSHOT = [
    # Market, U, u, pu, applied, still in sync. First the published vectors.
    (SPOT, 90, 110, None, True, True),
    (SPOT, 101, 101, None, True, True),
    (SPOT, 101, 200, None, True, True),
    (SPOT, 90, 100, None, False, True),
    (SPOT, 103, 110, None, True, False),
    (FUTURES, 90, 110, 80, True, True),
    (FUTURES, 95, 100, 90, True, True),  # u == L is the anchor
    (FUTURES, 90, 99, 80, False, True),
    (FUTURES, 105, 110, 100, True, True),  # observed: continues directly
    (FUTURES, 105, 110, 103, True, False),
    # The edges between them.
    (SPOT, 100, 100, None, False, True),
    (SPOT, 100, 101, None, True, True),
    (SPOT, 102, 102, None, True, False),  # a gap by exactly one id
    (SPOT, 50, 99, None, False, True),
    (FUTURES, 100, 100, 90, True, True),
    (FUTURES, 100, 110, 99, True, True),
    (FUTURES, 101, 110, 100, True, True),
    (FUTURES, 101, 110, 101, True, False),
]
FIRST = pytest.mark.parametrize(
    ("futures", "first_id", "final_id", "previous_id", "applied", "in_sync"), FIRST_BEHIND_A_SNAPSHOT
)


@FIRST
def test_an_update_after_the_snapshot_is_applied_where_it_touches_it(
    futures, first_id, final_id, previous_id, applied, in_sync
):
    """Spot `U <= L + 1 <= u`; futures `U <= L <= u` or `pu == L`; what is older is dropped, a hole is a gap."""
    follower = Follower(futures)
    assert follower.take(snapshot(100, [(10, 1)], [(20, 1)])) is Verdict.JOINS
    assert (follower.state, follower.book_id) == (SYNCED, 100)
    follower.take(diff(first_id, final_id, previous_id, [(10, 7), (9, 3)]))
    assert follower.state is (SYNCED if in_sync else GAP)
    assert follower.book_id == (final_id if applied else 100)
    assert follower.levels == ([(10, 7), (9, 3)] if applied else [(10, 1)], [(20, 1)])


@FIRST
def test_an_update_before_the_snapshot_is_applied_where_it_touches_it(
    futures, first_id, final_id, previous_id, applied, in_sync
):
    """The other order of arrival gives the same book; where there is a hole, the snapshot does not join."""
    follower = Follower(futures)
    follower.take(diff(first_id, final_id, previous_id, [(10, 7), (9, 3)]))
    verdict = follower.take(snapshot(100, [(10, 1)], [(20, 1)]))
    if not in_sync:
        assert (verdict, follower.state, follower.levels) == (Verdict.TOO_OLD, BUFFERING, ([], []))
        return
    assert (verdict, follower.state) == (Verdict.JOINS, SYNCED)
    assert follower.book_id == (final_id if applied else 100)
    assert follower.levels == ([(10, 7), (9, 3)] if applied else [(10, 1)], [(20, 1)])


# The edge cases of the protocol notes, one by one.


@BOTH_MARKETS
def test_a_snapshot_older_than_the_first_update_leaves_the_buffer_as_it_was(futures):
    """The book stays BUFFERING without levels; a fresher snapshot joins with the very updates kept before."""
    follower = Follower(futures)
    follower.take_all(*chained(futures, (101, 110), (111, 120)))
    assert follower.take_all(snapshot(98), snapshot(98)) == [Verdict.TOO_OLD, Verdict.TOO_OLD]
    assert (follower.state, follower.levels) == (BUFFERING, ([], []))
    assert follower.take(snapshot(105, [(9, 9)])) is Verdict.JOINS
    assert (follower.state, follower.book_id) == (SYNCED, 120)
    assert follower.levels == ([(9, 9), (2, 120), (1, 110)], [])


@BOTH_MARKETS
def test_a_snapshot_that_ends_where_the_first_update_begins_is_not_too_old(futures):
    """`L == U0 - 1` is contiguous: fetching again would only cost time."""
    follower = Follower(futures)
    follower.take_all(*chained(futures, (101, 110), (111, 120)))
    assert follower.take(snapshot(100)) is Verdict.JOINS
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 120, ([(2, 120), (1, 110)], []))


@BOTH_MARKETS
def test_a_snapshot_newer_than_the_whole_buffer_waits_for_the_feed(futures):
    """The book is the snapshot until an update reaches beyond it; older ones change nothing."""
    follower = Follower(futures)
    one, two, three, four = chained(futures, (101, 110), (111, 120), (121, 130), (131, 140))
    assert follower.take_all(one, snapshot(125, [(9, 9)])) == [Verdict.FOLLOWS, Verdict.JOINS]
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 125, ([(9, 9)], []))
    assert follower.take(two) is Verdict.FOLLOWS
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 125, ([(9, 9)], []))
    follower.take(three)
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 130, ([(9, 9), (3, 130)], []))
    follower.take(four)
    assert (follower.state, follower.book_id, follower.sync.gaps) == (SYNCED, 140, 0)


@BOTH_MARKETS
def test_a_snapshot_ahead_of_the_feed_does_not_excuse_a_hole_behind_it(futures):
    """Ahead or not, the first update beyond the snapshot must touch it; otherwise the book is in a gap."""
    follower = Follower(futures)
    first, *_, last = chained(futures, (101, 110), (111, 127), (128, 140))
    follower.take_all(first, snapshot(125))
    assert follower.take(last) is Verdict.GAP
    assert follower.state is GAP


@BOTH_MARKETS
def test_an_update_around_the_snapshot_is_applied_whole(futures):
    """With L in the middle of an update, all of its levels are set: they are those at its end."""
    follower = Follower(futures)
    follower.take_all(*chained(futures, (91, 100), (101, 110)))
    follower.take(snapshot(104, [(2, 5), (1, 5)]))
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 110, ([(2, 110), (1, 5)], []))


@BOTH_MARKETS
def test_repeated_and_older_updates_are_ignored(futures):
    """A duplicate changes neither book nor state, only the count of stale updates."""
    follower = synced(futures)
    following = diff(101, 110, 100, [(5, 5)])
    older = diff(95, 99, 94, [(6, 6)])
    assert follower.take_all(following, following, older) == [Verdict.FOLLOWS, Verdict.STALE, Verdict.STALE]
    assert (follower.state, follower.book_id, follower.sync.stale) == (SYNCED, 110, 2)
    assert follower.levels == ([(5, 5)], [])


@BOTH_MARKETS
def test_an_overlapping_update_is_applied(futures):
    """Two connections cut the feed differently: what reaches beyond the id is applied whole."""
    follower = synced(futures)
    assert follower.take_all(diff(101, 110, 100, [(5, 5)]), diff(106, 115, 105, [(5, 6)])) == [Verdict.FOLLOWS] * 2
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 115, ([(5, 6)], []))


@BOTH_MARKETS
def test_a_gap_by_one_id_is_a_gap(futures):
    """Diffs are still applied behind it, but the state says that the book is not to be trusted."""
    follower = synced(futures)
    assert follower.take(diff(102, 110, 101, [(5, 5)])) is Verdict.GAP
    assert (follower.state, follower.book_id, follower.levels) == (GAP, 110, ([(5, 5)], []))
    assert follower.take(diff(111, 120, 110, [(5, 0), (6, 6)])) is Verdict.FOLLOWS
    assert (follower.state, follower.book_id, follower.levels) == (GAP, 120, ([(6, 6)], []))


@BOTH_MARKETS
def test_an_update_without_levels_advances_the_id(futures):
    """Empty sides are an update like any other; the next one follows it."""
    follower = synced(futures)
    assert follower.take_all(diff(101, 110, 100), diff(111, 120, 110)) == [Verdict.FOLLOWS] * 2
    assert (follower.state, follower.book_id, follower.sync.gaps) == (SYNCED, 120, 0)


@BOTH_MARKETS
def test_removing_a_level_that_is_not_there_is_normal(futures):
    """It is no error and no gap, and leaves no level behind."""
    follower = synced(futures)
    follower.take(diff(101, 110, 100, [(5, 0)], [(6, 0)]))
    assert (follower.state, follower.levels) == (SYNCED, ([], []))


@BOTH_MARKETS
def test_a_level_outside_the_range_of_the_snapshot_is_inserted(futures):
    """Deeper than the snapshot reached is real all the same."""
    follower = Follower(futures)
    follower.take_all(snapshot(100, [(50, 1)], [(51, 1)]), diff(101, 110, 100, [(1, 2)], [(99, 2)]))
    assert follower.levels == ([(50, 1), (1, 2)], [(51, 1), (99, 2)])


@BOTH_MARKETS
@pytest.mark.parametrize("snapshot_first", [True, False])
def test_behind_the_snapshot_of_a_symbol_without_history_any_first_update_follows(futures, snapshot_first):
    """`lastUpdateId` may be -1: the first update is accepted, and the next must follow that one."""
    follower = Follower(futures)
    first, second, _, fourth = chained(futures, (900, 910), (911, 920), (921, 930), (931, 940))
    empty = snapshot(-1)
    follower.take_all(*([empty, first] if snapshot_first else [first, empty]))
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 910, ([(1, 910)], []))
    follower.take(second)
    assert follower.state is SYNCED
    assert follower.take(fourth) is Verdict.GAP
    assert follower.state is GAP


@BOTH_MARKETS
@pytest.mark.parametrize("joined_before", [True, False])
def test_a_snapshot_of_a_symbol_without_history_is_too_old_once_updates_are_missing(futures, joined_before):
    """After a gap the first update is gone: an empty book plus what is left is not the book."""
    follower = Follower(futures)
    first, _, third = chained(futures, (101, 110), (111, 120), (121, 130))
    follower.take(first)
    if joined_before:
        follower.take(snapshot(100))
    assert follower.take_all(third, snapshot(-1)) == [Verdict.GAP, Verdict.TOO_OLD]
    assert follower.state is (GAP if joined_before else BUFFERING)


@BOTH_MARKETS
@EITHER_START
def test_after_a_reconnect_the_ids_go_on(futures, expects_snapshot):
    """What was missed is a gap, a repeat is stale, and a new snapshot joins with the new buffer."""
    follower = Follower(futures, expects_snapshot)
    follower.take_all(snapshot(100), diff(101, 110, 100), diff(111, 120, 110))
    assert follower.take(diff(115, 118, 114)) is Verdict.STALE
    assert follower.take(diff(116, 125, 115)) is Verdict.FOLLOWS
    assert follower.state is SYNCED
    assert follower.take(diff(151, 160, 150, [(1, 1)])) is Verdict.GAP
    assert follower.state is GAP
    assert follower.take_all(snapshot(140), snapshot(155, [(2, 2)])) == [Verdict.TOO_OLD, Verdict.JOINS]
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 160, ([(2, 2), (1, 1)], []))
    assert follower.sync.gaps == 1


@BOTH_MARKETS
def test_one_symbol_s_gap_is_no_other_s(futures):
    """Each symbol has its own state; nothing is shared."""
    broken, sound = synced(futures), synced(futures)
    broken.take(diff(150, 160, 149))
    sound.take(diff(101, 110, 100))
    assert (broken.state, sound.state) == (GAP, SYNCED)


# The states of the contract.


@BOTH_MARKETS
def test_a_recording_has_no_levels_until_a_snapshot_joins(futures):
    """BUFFERING: a snapshot is expected, so what is known of the book is not shown."""
    follower = Follower(futures, expects_snapshot=True)
    assert follower.state is BUFFERING
    follower.take_all(*chained(futures, (101, 110), (111, 120)))
    assert (follower.state, follower.levels) == (BUFFERING, ([], []))


@BOTH_MARKETS
def test_an_import_applies_diffs_from_empty_until_a_snapshot_joins(futures):
    """PARTIAL: no snapshot and none awaited; then the book is the snapshot plus the diffs after it."""
    follower = Follower(futures, expects_snapshot=False)
    assert follower.state is PARTIAL
    follower.take_all(*chained(futures, (101, 110), (111, 120), (121, 130)))
    assert (follower.state, follower.book_id) == (PARTIAL, 130)
    assert follower.levels == ([(3, 130), (2, 120), (1, 110)], [])
    assert follower.take(snapshot(90)) is Verdict.TOO_OLD
    assert (follower.state, follower.levels) == (PARTIAL, ([(3, 130), (2, 120), (1, 110)], []))
    assert follower.take(snapshot(115, [(7, 7), (1, 3)])) is Verdict.JOINS
    assert (follower.state, follower.book_id) == (SYNCED, 130)
    assert follower.levels == ([(7, 7), (3, 130), (2, 120), (1, 3)], [])


@BOTH_MARKETS
def test_an_import_that_begins_with_a_snapshot_is_synced_at_once(futures):
    """A snapshot before the first diff joins, and the diffs follow it."""
    follower = Follower(futures, expects_snapshot=False)
    follower.take_all(snapshot(100, [(7, 7)]), *chained(futures, (101, 110)))
    assert (follower.state, follower.levels) == (SYNCED, ([(7, 7), (1, 110)], []))


@BOTH_MARKETS
@pytest.mark.parametrize("start", ["partial", "buffering", "gap"])
def test_a_gap_before_joining_drops_what_was_kept_before_it(start, futures):
    """A snapshot from before the hole no longer joins; one from after it does, with the updates behind the hole."""
    follower = Follower(futures, expects_snapshot=start != "partial")
    if start == "gap":
        follower.take_all(snapshot(50), diff(51, 60, 50), diff(101, 105, 100))
        assert follower.state is GAP
    follower.take_all(diff(101, 110, 100), diff(111, 120, 110))
    assert follower.take(diff(131, 140, 130, [(4, 4)])) is Verdict.GAP
    assert follower.state.value == start
    assert follower.take_all(snapshot(105), snapshot(125)) == [Verdict.TOO_OLD, Verdict.TOO_OLD]
    assert follower.state.value == start
    assert follower.take(snapshot(130, [(3, 3)])) is Verdict.JOINS
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 140, ([(4, 4), (3, 3)], []))


@BOTH_MARKETS
@pytest.mark.parametrize("update_id", [-1, 50, 100, 105, 110, 115, 1_000])
def test_a_later_snapshot_in_sync_is_compared_and_never_swapped_in(futures, update_id):
    """Older, equal or newer: book, id and state stay, and the next update follows as before."""
    follower = synced(futures)
    follower.take(diff(101, 110, 100, [(5, 5)]))
    outcome = follower.sync.snapshot(snapshot(update_id, [(1, 1)]))
    assert (outcome.verdict, outcome.changes) == (Verdict.COMPARED, ())
    assert (follower.state, follower.book_id, follower.levels) == (SYNCED, 110, ([(5, 5)], []))
    assert follower.take(diff(111, 120, 110)) is Verdict.FOLLOWS
    assert (follower.state, follower.book_id) == (SYNCED, 120)


@BOTH_MARKETS
def test_a_snapshot_after_a_gap_swaps_the_book(futures):
    """Levels from before the gap are gone: the book is the snapshot plus what follows it."""
    follower = synced(futures)
    follower.take_all(diff(101, 110, 100, [(5, 5)]), diff(121, 130, 120, [(6, 6)]), diff(131, 140, 130, [(7, 7)]))
    assert (follower.state, follower.levels) == (GAP, ([(7, 7), (6, 6), (5, 5)], []))
    assert follower.take(snapshot(133, [(8, 8)])) is Verdict.JOINS
    assert (follower.state, follower.levels) == (SYNCED, ([(8, 8), (7, 7)], []))
    assert follower.take(diff(141, 150, 140)) is Verdict.FOLLOWS
    assert follower.state is SYNCED


@BOTH_MARKETS
@EITHER_START
def test_the_buffer_is_bounded_and_a_fresh_snapshot_joins_beyond_the_bound(futures, expects_snapshot):
    """After 5,000 updates the oldest are forgotten: a snapshot as old as they is refused, a fresh one joins."""
    follower = Follower(futures, expects_snapshot)
    for i in range(1, 5_001):
        follower.take(diff(i, i, i - 1 if futures else None, [(i, i)]))
    assert follower.take_all(snapshot(0), snapshot(5)) == [Verdict.TOO_OLD, Verdict.TOO_OLD]
    assert follower.state is (BUFFERING if expects_snapshot else PARTIAL)
    assert follower.take(snapshot(4_990, [(9_999, 1)])) is Verdict.JOINS
    assert (follower.state, follower.book_id) == (SYNCED, 5_000)
    # On futures the update that ends at the snapshot's id is its anchor and applied once more.
    assert follower.book.bids() == [(9_999, 1), *((i, i) for i in range(5_000, 4_989 if futures else 4_990, -1))]


@BOTH_MARKETS
def test_the_bound_does_not_fake_a_symbol_without_history(futures):
    """Once updates are forgotten, an empty book plus the rest is not the book: -1 is too old."""
    follower = Follower(futures)
    for i in range(1, 5_001):
        follower.take(diff(i, i, i - 1 if futures else None))
    assert follower.take(snapshot(-1)) is Verdict.TOO_OLD
    assert follower.state is BUFFERING


@BOTH_MARKETS
def test_updates_of_many_levels_are_bounded_too(futures):
    """Memory is bounded by levels as well; a snapshot within the last updates joins all the same."""
    follower = Follower(futures)
    many = [(price, 1) for price in range(1, 1_227)]
    for i in range(1, 1_001):
        follower.take(diff(i, i, i - 1 if futures else None, many))
    assert follower.take_all(snapshot(1), snapshot(995)) == [Verdict.TOO_OLD, Verdict.JOINS]
    assert (follower.state, follower.book_id, follower.book.n_bids) == (SYNCED, 1_000, 1_226)


@BOTH_MARKETS
@pytest.mark.parametrize("joined_before", [True, False])
def test_what_was_dropped_no_longer_counts_towards_the_bound(futures, joined_before):
    """After a gap or a join the whole room is free again: an update from right behind the hole is still there."""
    follower = Follower(futures)
    many = [(price, 1) for price in range(1, 1_001)]
    for i in range(1, 101):
        follower.take(diff(i, i, i - 1 if futures else None, many))
    if joined_before:
        follower.take(snapshot(99))
        assert follower.state is SYNCED
    for i in range(201, 251):
        follower.take(diff(i, i, i - 1 if futures else None, many[:100]))
    assert follower.take(snapshot(200)) is Verdict.JOINS
    assert (follower.state, follower.book_id) == (SYNCED, 250)


@BOTH_MARKETS
def test_one_update_larger_than_the_bound_is_kept(futures):
    """The latest update always stays, so that a snapshot around it can join."""
    follower = Follower(futures)
    follower.take(diff(101, 110, 100, [(price, 1) for price in range(1, 70_001)]))
    assert follower.take(snapshot(105)) is Verdict.JOINS
    assert (follower.book_id, follower.book.n_bids) == (110, 70_000)


# A true history, cut into events and followed in any way.


class History:
    """A true book, change by change, and the id it has after each.

    On futures the ids have holes, because other symbols share the counter.
    """

    def __init__(self, changes, first_id):
        self.changes = []  # (id, side, price, size)
        update_id = first_id
        for step, side, price, size in changes:
            update_id += step
            self.changes.append((update_id, side, price, size))
        self.first_id = first_id

    def at(self, update_id):
        """Return the sides of the true book after the change with this id, as dicts."""
        sides = {}, {}
        for change_id, side, price, size in self.changes:
            if change_id <= update_id:
                sides[side].pop(price, None)
                if size:
                    sides[side][price] = size
        return sides

    def levels_at(self, update_id):
        """Return the true book as sorted bids and asks."""
        bids, asks = self.at(update_id)
        return sorted(bids.items(), reverse=True), sorted(asks.items())

    def snapshot_at(self, update_id):
        """Return what REST would answer at this id."""
        bids, asks = self.levels_at(update_id)
        return snapshot(update_id, bids, asks)

    def events(self, futures, lengths, before=0):
        """Cut the changes behind the first `before` into events of these lengths, the last taking the rest."""
        events, begin = [], before
        previous_id = self.changes[before - 1][0] if before else self.first_id
        for length in [*lengths, len(self.changes)]:
            part = self.changes[begin : begin + length]
            if not part:
                break
            begin += length
            sides = {}, {}
            for _, side, price, size in part:
                sides[side].pop(price, None)
                sides[side][price] = size
            first_id, final_id = part[0][0], part[-1][0]
            levels = [list(side.items()) for side in sides]
            events.append(diff(first_id, final_id, previous_id if futures else None, *levels))
            previous_id = final_id
        return events


@st.composite
def histories(draw, futures):
    """Draw a true history and how a connection cuts it into events; its first part came before we listened."""
    step = st.integers(1, 4) if futures else st.just(1)
    change = st.tuples(step, st.integers(0, 1), st.integers(1, 6), st.integers(0, 3))
    history = History(draw(st.lists(change, min_size=4, max_size=40)), draw(st.integers(0, 50)))
    before = draw(st.integers(0, len(history.changes) // 2))
    return history, before, history.events(futures, draw(st.lists(st.integers(1, 5), max_size=30)), before)


def ids_inside(history, before):
    """Return a strategy of the ids at which a snapshot can join: from just before the first update to the last."""
    start = history.changes[before - 1][0] if before else history.first_id
    return st.integers(start, history.changes[-1][0])


@BOTH_MARKETS
@EITHER_START
@given(data=st.data())
@settings(max_examples=120)
def test_snapshot_and_updates_in_any_interleaving_give_the_true_book(futures, expects_snapshot, data):
    """However events are cut, wherever the snapshot was taken and whenever it arrives: the book is the true one."""
    history, before, events = data.draw(histories(futures))
    at = data.draw(ids_inside(history, before), label="snapshot taken at")
    position = data.draw(st.integers(0, len(events)), label="snapshot arrives at")
    follower = Follower(futures, expects_snapshot)
    verdicts = follower.take_all(*events[:position], history.snapshot_at(at), *events[position:])
    assert verdicts.pop(position) is Verdict.JOINS
    assert set(verdicts) == {Verdict.FOLLOWS}
    assert (follower.state, follower.sync.gaps, follower.sync.stale) == (SYNCED, 0, 0)
    assert follower.levels == history.levels_at(history.changes[-1][0])
    assert follower.book_id == history.changes[-1][0]


@BOTH_MARKETS
@given(data=st.data())
@settings(max_examples=120)
def test_in_sync_the_book_is_the_true_one_after_every_message(futures, data):
    """Not only in the end: whenever the state says synced, the book is that of its id; never older than the feed."""
    history, before, events = data.draw(histories(futures))
    at = data.draw(st.integers(0, history.changes[-1][0]), label="first snapshot taken at")
    again = data.draw(ids_inside(history, before), label="second snapshot taken at")
    messages = list(events)
    for update_id in (at, again):
        messages.insert(data.draw(st.integers(0, len(messages))), history.snapshot_at(update_id))
    follower = Follower(futures)
    for message in messages:
        follower.take(message)
        if follower.state is SYNCED:
            assert follower.levels == history.levels_at(follower.book_id)
            assert follower.book_id >= (follower.sync.feed_id or 0)


@BOTH_MARKETS
@EITHER_START
@given(data=st.data())
@settings(max_examples=120)
def test_a_missing_update_is_never_passed_over_in_silence(futures, expects_snapshot, data):
    """One event of the middle is lost: the next is a GAP, and only a snapshot that holds what was lost gives sync."""
    history, before, events = data.draw(histories(futures).filter(lambda drawn: len(drawn[2]) > 2))
    missing = data.draw(st.integers(1, len(events) - 2), label="missing event")
    at = data.draw(ids_inside(history, before), label="snapshot taken at")
    position = data.draw(st.integers(0, len(events)), label="snapshot arrives before event")
    follower = Follower(futures, expects_snapshot)
    for i, event in enumerate(events):
        if i == position:
            follower.take(history.snapshot_at(at))
        if i != missing:
            assert follower.take(event) is (Verdict.GAP if i == missing + 1 else Verdict.FOLLOWS)
    if position == len(events):
        follower.take(history.snapshot_at(at))
    assert follower.sync.gaps == 1
    if at >= events[missing].final_update_id:
        assert follower.state is SYNCED
        assert follower.levels == history.levels_at(history.changes[-1][0])
    else:
        assert follower.state in (GAP, BUFFERING if expects_snapshot else PARTIAL)


@BOTH_MARKETS
@given(data=st.data())
@settings(max_examples=120)
def test_two_connections_that_cut_the_feed_differently_give_one_true_book(futures, data):
    """Redundant lines are merged by applying whatever extends the id; neither boundaries nor repeats do harm."""
    history, before, one = data.draw(histories(futures))
    other = history.events(futures, data.draw(st.lists(st.integers(1, 5), max_size=30)), before)
    merged, queues = [], [list(one), list(other)]
    while any(queues):
        queue = queues[data.draw(st.integers(0, 1))] or queues[0] or queues[1]
        merged.append(queue.pop(0))
    at = data.draw(ids_inside(history, before), label="snapshot taken at")
    merged.insert(data.draw(st.integers(0, len(merged))), history.snapshot_at(at))
    follower = Follower(futures)
    follower.take_all(*merged)
    assert (follower.state, follower.sync.gaps) == (SYNCED, 0)
    assert follower.levels == history.levels_at(history.changes[-1][0])


@BOTH_MARKETS
@given(data=st.data())
@settings(max_examples=120)
def test_lost_repeated_and_swapped_updates_never_leave_a_wrong_book_in_sync(futures, data):
    """Whatever a bad line does to the events, with snapshots between: synced means the true book of its id."""
    history, before, events = data.draw(histories(futures))
    order = data.draw(st.lists(st.integers(0, len(events) - 1), max_size=2 * len(events)), label="events as they came")
    messages = [events[i] for i in order]
    for at in data.draw(st.lists(ids_inside(history, before), max_size=3), label="snapshots taken at"):
        messages.insert(data.draw(st.integers(0, len(messages))), history.snapshot_at(at))
    follower = Follower(futures)
    for message in messages:
        follower.take(message)
        if follower.state is SYNCED:
            assert follower.levels == history.levels_at(follower.book_id)
        if follower.state is BUFFERING:
            assert follower.levels == ([], [])
