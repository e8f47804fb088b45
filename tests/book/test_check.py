"""The venue's own bookTicker is compared with the book it belongs to, and with no other."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hftcap.book.check import WAITING_MAX, TouchCheck


def touch(number):
    """Make a touch that differs from those of other numbers."""
    return (number, 1, number + 1, 1)


def quoted(*ids):
    """Return a check that has seen a quote for each id, its touch made of the id."""
    check = TouchCheck()
    for update_id in ids:
        check.quoted(update_id, touch(update_id))
    return check


def counts(check):
    """Return how many comparisons there were, and how many of them were equal."""
    return check.checked, check.equal


def test_the_book_is_held_against_the_greatest_quote_at_or_below_its_id():
    """After a diff that ends at 20, the quotes of 10 and 15 are past and that of 18 counts."""
    check = quoted(10, 15, 18, 21)
    check.advanced(20, touch(18))
    assert counts(check) == (1, 1)


@pytest.mark.parametrize(("number", "equal"), [(20, 1), (10, 0), (25, 0)])
def test_a_quote_of_the_very_id_counts(number, equal):
    """At or below includes the id itself; neither the one before nor the one behind will do."""
    check = quoted(10, 20, 25)
    check.advanced(20, touch(number))
    assert counts(check) == (1, equal)


def test_a_quote_beyond_the_book_waits_for_it():
    """Quotes normally arrive before the diff with their id; they are not compared until it comes."""
    check = quoted(30)
    check.advanced(29, touch(30))
    assert counts(check) == (0, 0)
    check.advanced(30, touch(30))
    assert counts(check) == (1, 1)


def test_a_book_that_is_ahead_of_the_quotes_waits_for_the_one_that_decides():
    """Until a quote at or beyond its id has come, a nearer one may still be on its way."""
    check = quoted(10)
    check.advanced(20, touch(18))
    assert counts(check) == (0, 0)
    check.quoted(18, touch(18))
    assert counts(check) == (0, 0)
    check.quoted(21, touch(21))
    assert counts(check) == (1, 1)


def test_a_quote_of_the_very_id_that_comes_behind_the_diff_decides_at_once():
    """Nothing nearer can follow, because ids rise."""
    check = quoted(10)
    check.advanced(20, touch(20))
    check.quoted(20, touch(20))
    assert counts(check) == (1, 1)


def test_at_the_end_of_the_feed_the_latest_quote_decides():
    """Books that still wait are held against what there is; a second end counts nothing twice."""
    check = quoted(10)
    check.advanced(20, touch(10))
    check.advanced(21, touch(21))
    check.finish()
    check.finish()
    assert counts(check) == (2, 1)


def test_without_a_quote_there_is_nothing_to_compare():
    """A feed without bookTicker, or with later ones only, is not called equal or unequal."""
    check = TouchCheck()
    check.advanced(5, touch(5))
    check.finish()
    assert counts(check) == (0, 0)
    check = TouchCheck()
    check.advanced(5, touch(9))
    check.quoted(9, touch(9))
    check.finish()
    assert counts(check) == (0, 0)


def test_a_quote_stays_valid_until_a_newer_one_is_reached():
    """Several diffs that do not move the touch are all held against the last quote."""
    check = quoted(10, 20)
    for update_id in (10, 11, 15):
        check.advanced(update_id, touch(10))
    assert counts(check) == (3, 3)
    check.advanced(16, touch(16))
    assert counts(check) == (4, 3)


@pytest.mark.parametrize("wrong", [(99, 5, 101, 6), (100, 4, 101, 6), (100, 5, 102, 6), (100, 5, 101, 7)])
def test_any_difference_of_price_or_size_is_a_mismatch(wrong):
    """All four numbers must be equal, and one mismatch does not spoil the next comparison."""
    check = TouchCheck()
    check.quoted(1, (100, 5, 101, 6))
    check.advanced(1, wrong)
    assert counts(check) == (1, 0)
    check.quoted(2, (100, 5, 101, 6))
    check.advanced(2, (100, 5, 101, 6))
    assert counts(check) == (2, 1)


def test_repeated_and_older_quotes_are_ignored():
    """A redundant line may bring a quote again or late; the first to come stays."""
    check = quoted(10, 12)
    check.quoted(12, touch(99))
    check.quoted(11, touch(98))
    check.quoted(1, touch(97))
    check.advanced(11, touch(10))
    check.advanced(12, touch(12))
    assert counts(check) == (2, 2)
    check.quoted(12, touch(96))
    check.advanced(13, touch(12))
    check.finish()
    assert counts(check) == (3, 3)


def test_quotes_go_by_while_the_book_is_not_trusted():
    """Such a book is not passed on; the next comparison is with the quote of its own time, not of the last one."""
    check = quoted(10, 20)
    check.advanced(10, touch(10))
    for update_id in (30, 40, 50):
        check.quoted(update_id, touch(update_id))
    check.advanced(45, touch(40))
    assert counts(check) == (2, 2)


def test_a_book_rebuilt_from_behind_is_held_against_the_quotes_of_its_time():
    """A late snapshot joins far behind the quotes, and buffered diffs are applied: each finds its own."""
    check = quoted(*range(10, 40))
    for update_id in (15, 20, 30):
        check.advanced(update_id, touch(update_id))
    assert counts(check) == (3, 3)


def test_the_bound_of_waiting_quotes_misses_comparisons_and_fakes_none():
    """More quotes than are kept, all ahead of the book: whatever is compared afterwards is the right one."""
    last = 3 * WAITING_MAX
    check = quoted(*range(1, last + 1))
    for update_id in (5, WAITING_MAX // 2, WAITING_MAX + 5, 2 * WAITING_MAX - 1, last - 3, last):
        check.advanced(update_id, touch(update_id))
    assert check.checked == check.equal
    assert check.equal >= 1, "the newest quotes must not be among those forgotten"


def test_a_quote_from_before_the_bound_is_not_taken_for_a_later_one():
    """The quote last reached is forgotten with those that waited: a newer one may be missing behind it."""
    check = quoted(1)
    check.advanced(1, touch(1))
    assert counts(check) == (1, 1)
    for update_id in range(100, 100 + 2 * WAITING_MAX):
        check.quoted(update_id, touch(update_id))
    check.advanced(150, touch(150))
    assert check.checked == check.equal


def test_the_bound_of_waiting_books_misses_comparisons_and_fakes_none():
    """On a feed whose bookTicker has stopped, books do not pile up; those kept are compared rightly when it resumes."""
    check = quoted(1)
    for update_id in range(2, 3 * WAITING_MAX):
        check.advanced(update_id, touch(1))
    check.quoted(3 * WAITING_MAX, touch(7))
    assert check.checked == check.equal
    assert 0 < check.checked <= WAITING_MAX
    check.advanced(3 * WAITING_MAX, touch(7))
    assert check.checked == check.equal


moves = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), st.integers(0, 60), st.integers(0, 2)),
        st.tuples(st.just("diff"), st.integers(1, 6), st.none() | st.integers(0, 2)),
    ),
    max_size=50,
)


@given(moves)
@settings(max_examples=300)
def test_the_comparisons_are_those_of_the_rule_for_any_order_of_arrival(moves):
    """Every trusted book once, against the greatest id at or below its own among all quotes, early or late."""
    check, quotes, books, reached = TouchCheck(), {}, [], 0
    for kind, number, which in moves:
        if kind == "quote":
            check.quoted(number, touch(which))
            if number > max(quotes, default=-1):
                quotes[number] = touch(which)
            continue
        reached += number
        if which is not None:
            check.advanced(reached, touch(which))
            books.append((reached, touch(which)))
        newest = max(quotes, default=-1)
        assert check.checked <= sum(update_id <= newest for update_id, _ in books), "too early to tell"
    check.finish()
    expected = []
    for update_id, found in books:
        below = [quote_id for quote_id in quotes if quote_id <= update_id]
        expected += [quotes[max(below)] == found] if below else []
    assert counts(check) == (len(expected), sum(expected))
