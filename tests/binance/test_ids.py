"""Rising ids: what is new, what is missing, against a set that remembers everything."""

from hypothesis import given
from hypothesis import strategies as st

from hftcap.binance import ids
from hftcap.binance.ids import SeenIds

orders = st.lists(st.integers(0, 40), max_size=60)


@given(orders)
def test_an_id_is_new_exactly_once(numbers):
    """Whatever the order: first, last, missing and each verdict are those of a set."""
    seen, told = set(), SeenIds()
    for number in numbers:
        assert told.take(number) is (number not in seen)
        seen.add(number)
        assert (told.first, told.last) == (min(seen), max(seen))
        assert told.missing == max(seen) - min(seen) + 1 - len(seen)


@given(orders, orders)
def test_what_was_dumped_goes_on_as_the_original(before, after):
    """Nothing that matters is left out of a dump, and the two share nothing."""
    one = SeenIds()
    for number in before:
        one.take(number)
    other = SeenIds.load(*one.dump())
    verdicts = [one.take(number) for number in after]
    assert [other.take(number) for number in after] == verdicts
    assert other.dump() == one.dump()


def test_beyond_the_holes_kept_a_late_id_counts_as_seen(monkeypatch):
    """Memory is bounded: an id whose hole was not kept is not new, and stays counted as missing."""
    monkeypatch.setattr(ids, "HOLES_KEPT", 2)
    seen = SeenIds()
    for number in (0, 10, 20, 30):
        seen.take(number)
    assert seen.missing == 27
    assert (seen.take(5), seen.take(15), seen.take(25)) == (True, True, False)
    assert seen.missing == 25


def test_a_run_of_ids_is_taken_at_once():
    """`run_on` is for ids that each follow the one before."""
    seen = SeenIds()
    seen.take(7)
    seen.run_on(99)
    assert (seen.first, seen.last, seen.missing, seen.take(50)) == (7, 99, 0, False)
