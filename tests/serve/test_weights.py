"""Weight by minute, refusals and bans, on a clock of the test's own."""

from hftcap.serve.weights import BEYOND_BEFORE_BAN, MINUTE_NS, Charge, Weights

AT = 100 * MINUTE_NS + 15_000_000_000


def test_weight_is_counted_by_minute_and_address():
    """A new minute begins at nought."""
    weights = Weights(100, None)
    assert weights.charge("a", 60, AT) == Charge(60)
    assert weights.charge("b", 60, AT) == Charge(60)
    assert weights.charge("a", 40, AT) == Charge(100)
    assert weights.charge("a", 5, AT + MINUTE_NS) == Charge(5)


def test_beyond_the_limit_the_answer_is_429_until_the_minute_ends():
    """With the seconds to wait."""
    weights = Weights(100, None)
    weights.charge("a", 100, AT)
    charge = weights.charge("a", 1, AT)
    assert (charge.used, charge.status, charge.retry_after(AT)) == (101, 429, 45)


def test_who_goes_on_is_banned():
    """418 for two minutes, whatever the minute."""
    weights = Weights(10, None)
    statuses = [weights.charge("a", 20, AT).status for _ in range(BEYOND_BEFORE_BAN + 1)]
    assert statuses == [429] * BEYOND_BEFORE_BAN + [418]
    assert weights.charge("a", 1, AT + MINUTE_NS).status == 418
    assert weights.charge("a", 1, AT + MINUTE_NS).retry_after(AT + MINUTE_NS) == 60
    assert weights.charge("a", 1, AT + 2 * MINUTE_NS).status == 200
    assert weights.charge("b", 1, AT).status == 200


def test_attempts_are_counted_over_five_minutes():
    """A rolling window."""
    weights = Weights(100, 3)
    assert [weights.attempt("a", at) for at in (0, 1, 2)] == [0, 0, 0]
    assert weights.attempt("a", 60_000_000_000) == 240 + 0
    assert weights.attempt("a", 300_000_000_000) == 0
    assert Weights(100, None).attempt("a", 0) == 0


def test_memory_is_bounded():
    """Addresses beyond a number are forgotten, the one unused longest first."""
    weights = Weights(100, None)
    for number in range(5_000):
        weights.charge(str(number), 7, AT)
    assert weights.charge("4999", 1, AT).used == 8
    assert weights.charge("0", 1, AT).used == 1
