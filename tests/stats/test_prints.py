"""Trades of one numbering: what is missing, what came twice, and the exact sum."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance import ids as ids_module
from hftcap.fixed import INT64_MAX
from hftcap.stats.prints import PrintCount


def counted(rows: list[tuple[int, int, bool, bool]], cuts: tuple[int, ...] = ()) -> PrintCount:
    """Count prints (id, size, sold, of the market), handed over in batches."""
    count = PrintCount()
    for begin, end in pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        batch = rows[begin:end]
        count.add(
            np.array([row[0] for row in batch], dtype=np.int64),
            np.array([row[1] for row in batch], dtype=np.int64),
            np.array([row[2] for row in batch], dtype=np.bool_),
            np.array([row[3] for row in batch], dtype=np.bool_),
        )
    return count


def of_ids(ids: list[int], cuts: tuple[int, ...] = ()) -> PrintCount:
    return counted([(number, 1, False, True) for number in ids], cuts)


def runs(start: int) -> st.SearchStrategy[list[int]]:
    """Make ids as feeds have them: runs that rise by one, with holes, repeats and stragglers between."""
    steps = st.lists(st.sampled_from([1, 1, 1, 1, 2, 5, 0, -1, -3]), max_size=60)
    return steps.map(lambda taken: np.cumsum([start, *taken]).tolist())


all_ids = st.one_of(runs(1_000), runs(2**62), st.lists(st.integers(0, 40), min_size=1, max_size=60))
cuts = st.lists(st.integers(0, 60), max_size=4).map(tuple)


@given(all_ids, cuts)
def test_missing_and_repeated_ids_are_those_of_sets(ids, cuts):
    """Whatever the order and the batches: missing is what no print had, a duplicate is one seen before."""
    count = of_ids(ids, cuts)
    seen = set(ids)
    assert (count.n, count.first_id, count.last_id) == (len(ids), min(ids), max(ids))
    assert count.missing == max(ids) - min(ids) + 1 - len(seen)
    assert count.duplicates == len(ids) - len(seen)


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, INT64_MAX), st.booleans(), st.booleans()), max_size=40), cuts
)
def test_sums_are_exact_beyond_64_bits(rows, cuts):
    """Sizes add up as Python's integers do; sides and prints off the market are counted with them."""
    count = counted(rows, cuts)
    assert count.size_e8 == sum(size for _, size, _, _ in rows)
    assert count.buyer_is_maker == sum(sold for _, _, sold, _ in rows)
    assert count.off_market == sum(not market for _, _, _, market in rows)


def test_a_whole_block_of_capped_sizes_does_not_wrap():
    """A million prints of the largest size there is, in one batch."""
    many = 1 << 20
    count = PrintCount()
    count.add(np.arange(many), np.full(many, INT64_MAX), np.zeros(many, np.bool_), np.ones(many, np.bool_))
    assert count.size_e8 == many * INT64_MAX
    assert (count.n, count.missing, count.duplicates, count.last_id) == (many, 0, 0, many - 1)


def test_nothing_seen_has_no_ids():
    """Without a print there is neither a first nor a last id."""
    count = of_ids([])
    assert (count.n, count.first_id, count.last_id, count.missing, count.size_e8) == (0, None, None, 0, 0)


@pytest.mark.parametrize("cut", range(6))
def test_a_late_print_fills_its_hole_once(cut):
    """An id that comes late is no longer missing; when it comes again it is a duplicate."""
    count = of_ids([10, 14, 12, 12, 11, 13], (cut,))
    assert (count.missing, count.duplicates) == (0, 1)


def test_two_connections_that_both_carry_every_print_lose_nothing():
    """A redundant line repeats every id: all duplicates, none missing."""
    count = of_ids([number for number in range(50) for _ in range(2)])
    assert (count.n, count.missing, count.duplicates) == (100, 0, 50)


def test_memory_for_holes_is_bounded_and_only_late_prints_suffer(monkeypatch):
    """Beyond the bound what is missing is still counted; only an id that comes late after all is a duplicate."""
    monkeypatch.setattr(ids_module, "HOLES_KEPT", 3)
    ids = list(range(0, 40, 4))
    count = of_ids(ids)
    assert count.missing == 37 - len(ids)
    assert len(count._seen._starts) == 3
    count.add(np.array([1, 38]), np.array([1, 1]), np.zeros(2, np.bool_), np.ones(2, np.bool_))
    assert len(count._seen._starts) <= 3
    assert (count.missing, count.duplicates, count.last_id) == (37 - len(ids) - 1 + 1, 0, 38)
    late = np.array([30])
    count.add(late, late, np.zeros(1, np.bool_), np.ones(1, np.bool_))
    assert (count.missing, count.duplicates) == (37 - len(ids), 1)


def test_filling_a_large_hole_from_its_middle_does_not_pass_the_bound(monkeypatch):
    """Every late id in the middle of a hole splits it in two; the number of holes stays bounded all the same."""
    monkeypatch.setattr(ids_module, "HOLES_KEPT", 4)
    count = of_ids([0, 1_000, *range(2, 900, 2)])
    assert len(count._seen._starts) <= 4
    assert count.missing == 1_001 - (count.n - count.duplicates)
