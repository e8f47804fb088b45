"""Decimal text becomes an integer scaled by 1e8 exactly or not at all, and comes back without trailing zeros."""

import pickle
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcap.errors import DecimalError, HftcapError, NotADecimal, Unrepresentable
from hftcap.fixed import CAPPED_E8, DECIMALS, INT64_MAX, SCALE, DecimalCache, format_e8, parse_e8

PAIRS = [
    ("0", 0),
    ("1", 100_000_000),
    ("100", 10_000_000_000),
    ("61602.01", 6_160_201_000_000),
    ("0.1", 10_000_000),
    ("0.00000001", 1),
    ("1.00000001", 100_000_001),
    ("92233720368.54775807", INT64_MAX),
]
SPELLINGS = [
    ("0.0", 0),
    ("0.00000000", 0),
    ("0.000", 0),
    ("000", 0),
    ("007", 700_000_000),
    ("1.50000000", 150_000_000),
    ("0001.5", 150_000_000),
    ("61602.01000000", 6_160_201_000_000),
    ("0092233720368.54775807", INT64_MAX),
]
NOT_DECIMALS = [
    "",
    ".",
    "1.",
    ".5",
    "1..5",
    "1.5.0",
    "+1",
    "-1",
    "-0",
    "1e5",
    "1E5",
    "1.0e0",
    " 1",
    "1 ",
    "1\n",
    "\t1",
    "1 000",
    "1,5",
    "1_000",
    "0x10",
    "NaN",
    "Infinity",
    "1.-5",
    "\u0661",  # Arabic-Indic one
    "\uff11",  # full-width one
    "1.\u0665",
    "\u00b2",  # superscript two
    "1\x00",
]
NOT_TEXT = [None, True, 1, 1.5, b"1", Decimal(1), [], ["1"], {}, ("1",)]
TOO_FINE = ["0.000000001", "1.123456789", "1.000000000", "0.000000000"]
TOO_LARGE = ["92233720368.54775808", "92233720369", "100000000000", "18446744073709551616", "9" * 5_000]


@pytest.mark.parametrize(("text", "value_e8"), PAIRS + SPELLINGS)
def test_decimal_text_counts_hundred_millionths(text, value_e8):
    """Any number of leading zeros and up to eight decimals name the same integer."""
    assert parse_e8(text) == value_e8


@pytest.mark.parametrize(("text", "value_e8"), PAIRS)
def test_a_scaled_integer_is_written_without_trailing_zeros(text, value_e8):
    """Output has no padding, and no point where there is no fraction."""
    assert format_e8(value_e8) == text


@given(st.integers(0, INT64_MAX))
@example(0)
@example(INT64_MAX)
@settings(max_examples=300)
def test_every_scaled_integer_survives_the_round_trip(value_e8):
    """Formatting loses nothing, and the text is the decimal module's number."""
    text = format_e8(value_e8)
    assert parse_e8(text) == value_e8
    assert Decimal(text) * SCALE == value_e8
    assert text == "0" or not (text.endswith(".") or ("." in text and text.endswith("0")))


@given(st.integers(-INT64_MAX - 1, -1))
@settings(max_examples=100)
def test_a_negative_difference_is_written_with_its_sign(value_e8):
    """Differences of prices can be shown, though no price is negative."""
    assert format_e8(value_e8) == "-" + format_e8(-value_e8)


@given(
    st.one_of(
        st.from_regex(r"[0-9]{1,13}(\.[0-9]{1,10})?", fullmatch=True),
        st.builds("{}{}".format, st.from_regex(r"0{0,40}", fullmatch=True), st.integers(0, 2 * INT64_MAX // SCALE)),
        st.integers(INT64_MAX - 9, INT64_MAX + 9).map(lambda value: f"{value // SCALE}.{value % SCALE:08d}"),
    )
)
@settings(max_examples=200)
def test_decimal_text_agrees_with_the_decimal_module(text):
    """The value is exact where it fits in eight decimals and an int64, and refused where it does not."""
    scaled = Decimal(text) * SCALE
    if len(text.partition(".")[2]) <= DECIMALS and scaled <= INT64_MAX:
        assert parse_e8(text) == scaled
    else:
        with pytest.raises(Unrepresentable):
            parse_e8(text)


@pytest.mark.parametrize("text", NOT_DECIMALS)
def test_text_that_is_no_plain_decimal_is_refused(text):
    """No sign, exponent, white space, separator or digit beyond ASCII is understood; nothing is half a number."""
    with pytest.raises(NotADecimal):
        parse_e8(text)


@pytest.mark.parametrize("found", NOT_TEXT, ids=repr)
def test_only_text_is_a_decimal(found):
    """A JSON number, null or list where text belongs is an error, however number-like it is."""
    with pytest.raises(NotADecimal):
        parse_e8(found)


@given(st.text(alphabet="0123456789.eE+-_ \n\u0661\uff11", max_size=12))
@settings(max_examples=300)
def test_random_text_is_a_decimal_or_is_refused(text):
    """Only digits with an optional fraction have a value; everything else is an error of our own."""
    whole, point, fraction = text.partition(".")
    plain = all(part.isascii() and part.isdigit() for part in ([whole, fraction] if point else [whole]))
    try:
        assert parse_e8(text) == Decimal(text) * SCALE
        assert plain
    except Unrepresentable:
        assert plain
    except NotADecimal:
        assert not plain


@pytest.mark.parametrize("text", TOO_FINE)
def test_more_than_eight_decimals_are_never_rounded(text):
    """A ninth decimal is refused, even where it is zero."""
    with pytest.raises(Unrepresentable):
        parse_e8(text)


@pytest.mark.parametrize("text", TOO_LARGE, ids=lambda text: text[:24])
def test_what_exceeds_an_int64_is_never_wrapped(text):
    """The venue's cap is the largest value there is."""
    with pytest.raises(Unrepresentable):
        parse_e8(text)


def test_the_cap_of_the_venue_is_the_largest_int64():
    """A saturated quantity stays representable."""
    assert parse_e8("92233720368.54775807") == CAPPED_E8 == INT64_MAX == 2**63 - 1


@pytest.mark.parametrize("zeros", [1, 19, 20, 4_300, 20_000])
def test_leading_zeros_never_change_a_value(zeros):
    """Thousands of them are as good as none, beyond the limit of Python's own int() too."""
    assert parse_e8("0" * zeros + "61602.01") == 6_160_201_000_000
    assert parse_e8("0" * zeros) == 0
    assert parse_e8("0" * zeros + ".00000001") == 1


@pytest.mark.parametrize("digits", [20, 4_299, 4_301, 20_000])
def test_thousands_of_digits_are_refused_by_name(digits):
    """Length ends in our own error, in the whole part and in the fraction."""
    for text in ("9" * digits, f"0.{'0' * digits}", f"{'9' * digits}.5", f"0.{'9' * digits}"):
        with pytest.raises(Unrepresentable) as refused:
            parse_e8(text)
        assert len(str(refused.value)) < 200


def outcome(function, text):
    """Return the value, or the type of the error that took its place."""
    try:
        return function(text)
    except DecimalError as error:
        return type(error), error.args


@given(st.lists(st.one_of(st.sampled_from([*NOT_DECIMALS, *TOO_FINE, "1", "1.0", "2.5"]), st.text(max_size=5))))
@settings(max_examples=100)
def test_the_cache_agrees_with_the_function(texts):
    """Remembered or not, right or wrong, a text has one outcome."""
    cache = DecimalCache()
    for text in texts + texts:
        assert outcome(cache.__getitem__, text) == outcome(parse_e8, text)


@given(
    st.one_of(
        st.from_regex(r"[0-9]{0,12}(\.[0-9]{0,10})?", fullmatch=True),
        st.text(alphabet="0123456789.eE+-_ \n\u0661\uff11\u00b2", max_size=12),
        st.integers(INT64_MAX - 9, INT64_MAX + 9).map(lambda value: f"{value // SCALE}.{value % SCALE:08d}"),
    )
)
@settings(max_examples=500)
@example("9999999999.99999999")
@example("10000000000.00000000")
@example("92233720368.54775807")
def test_the_cache_converts_every_text_as_the_function_does(text):
    """It takes fewer steps for the usual text, and ends in the same value or the same refusal for all."""
    cache = DecimalCache()
    assert outcome(cache.__getitem__, text) == outcome(parse_e8, text)
    assert outcome(cache.__getitem__, text) == outcome(parse_e8, text)


@pytest.mark.parametrize("text", ["92233720368.54775807", "0092233720368.54775807", "0" * 50 + "92233720368.54775807"])
def test_the_cache_says_each_time_that_a_text_is_the_cap(text):
    """Whoever resets the flag learns of the next saturated size too; no other text sets it."""
    cache = DecimalCache()
    for _ in range(3):
        assert cache["92233720368.54775806"] == CAPPED_E8 - 1
        assert not cache.capped
        assert cache[text] == CAPPED_E8
        assert cache.capped
        cache.capped = False


@pytest.mark.parametrize("found", [None, True, 1, 1.5, b"1"], ids=repr)
def test_the_cache_takes_no_number_for_a_text(found):
    """What is no text is refused by the cache too, also after the text of the same number was seen."""
    cache = DecimalCache()
    assert cache["1"] == 100_000_000
    with pytest.raises(NotADecimal):
        cache[found]


def test_the_cache_is_bounded_and_right_beyond_the_bound():
    """It holds at most 65,536 texts, however many it is asked for, and refused texts take no room."""
    cache = DecimalCache()
    for value in range(70_000):
        assert cache[str(value)] == value * SCALE
        assert len(cache) <= 65_536
    size = len(cache)
    for text in NOT_DECIMALS:
        with pytest.raises(NotADecimal):
            cache[text]
    assert len(cache) == size
    assert cache["0"] == 0


@pytest.mark.parametrize("found", [*NOT_DECIMALS, *NOT_TEXT, *TOO_FINE, *TOO_LARGE], ids=lambda found: repr(found)[:24])
def test_a_refusal_survives_pickling(found):
    """The error crosses a process pool with type, arguments and sentence, and is one of ours and a ValueError."""
    with pytest.raises(DecimalError) as refused:
        parse_e8(found)
    back = pickle.loads(pickle.dumps(refused.value))  # noqa: S301  (bytes of our own)
    assert isinstance(back, HftcapError)
    assert isinstance(back, ValueError)
    assert (type(back), back.args, str(back)) == (type(refused.value), refused.value.args, str(refused.value))
