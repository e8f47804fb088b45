"""A frame typed the short way is the message that the parser makes of it the long way, or is left to the parser."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hftcap.binance.frames import UNUSUAL, Heads
from hftcap.binance.messages import AggTrade, BookTicker, DepthDiff, Kline, OddityKind, Trade
from hftcap.binance.parser import Parser, parse
from hftcap.fixed import CAPPED_E8, INT64_MAX, DecimalCache

USUAL = {
    "spot trade": b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255208,"s":"BTCUSDT","t":3733474189,'
    b'"p":"61602.01000000","q":"0.00065000","T":1723161255207,"m":false,"M":true}}',
    "futures trade": b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1680652874406,"T":1680652874400,"s":"ETHUSDT",'
    b'"t":3535191080,"p":"28722.50","q":"0.001","X":"MARKET","m":true,"st":1}}',
    "spot aggTrade": b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1723161255208,"s":"BTCUSDT","a":3035249,'
    b'"p":"61602.01000000","q":"0.5","f":100,"l":105,"T":1723161255207,"m":true,"M":true}}',
    "futures aggTrade": b'{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1791382992488,"a":3477868433,'
    b'"s":"ETHUSDT","p":"83091.70","q":"0.022","nq":"0.022","f":8153634393,"l":8153634394,"T":1791382992338,"m":false,'
    b'"st":1}}',
    "reversed aggTrade": b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1723161255208,"s":"BTCUSDT","a":3,'
    b'"p":"1","q":"0.5","f":105,"l":100,"T":1723161255207,"m":true}}',
    "spot bookTicker": b'{"stream":"btcusdt@bookTicker","data":{"u":51078520601,"s":"BTCUSDT","b":"61602.00","B":"4.2",'
    b'"a":"61602.01","A":"3.7"}}',
    "futures bookTicker": b'{"stream":"!bookTicker","data":{"e":"bookTicker","u":11757092630476,"s":"BTCUSDT",'
    b'"ps":"BTCUSDT","b":"83091.60","B":"4.215","a":"83091.70","A":"3.763","T":1791382994657,"E":1791382994658,"st":1}}',
    "spot depth": b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":90,'
    b'"u":99,"b":[["61602.00000000","1.50000000"],["61601.00000000","0.00000000"]],"a":[["61603","9999999.99999999"]]}}',
    "futures depth": b'{"stream":"btcusdt@depth@0ms","data":{"e":"depthUpdate","E":1785048482829,"T":1785048482718,'
    b'"s":"BTCUSDT","ps":"BTCUSDT","U":359220619477,"u":359220619480,"pu":359220613550,"b":[],"a":[["64346.70",'
    b'"589.8041"]],"st":1}}',
    "reversed depth": b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1723161255208123,"s":"BTCUSDT","U":99,'
    b'"u":90,"pu":-1,"b":[],"a":[]}}',
    "partial depth": b'{"stream":"btcusdt@depth20@100ms","data":{"e":"depthUpdate","E":1791382994616,"T":1791382994613,'
    b'"s":"BTCUSDT","U":1,"u":2,"pu":1,"b":[["83091.60","4.215"]],"a":[["83091.70","3.768"]]}}',
    "rpiDepth": b'{"stream":"btcusdt@rpiDepth@500ms","data":{"e":"depthUpdate","E":1785048482829,"T":1785048482718,'
    b'"s":"BTCUSDT","U":7,"u":9,"pu":5,"b":[["1","2"]],"a":[]}}',
}
LEFT_TO_THE_PARSER = ("partial depth", "rpiDepth")
# It has seen each of these heads, so it tries the short way; `parse` makes a new parser, which has seen none.
SEASONED = Parser()
for frame in USUAL.values():
    SEASONED.parse(frame)

# Pieces that mean something to JSON, to the pattern of the levels, or to the search for `"data":` and `,"b":`.
PIECES = [
    *(
        b'"',
        b",",
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\\",
        b" ",
        b"\n",
        b"\x00",
        b"\xff",
        b".",
        b"-",
        b"+",
        b"e8",
        b"0",
        b"9",
    ),
    *(b"null", b"true", b"1e5", b"1.0", b"-0", b"9223372036854775807", b"9223372036854775808", b"1" * 400, b"\\u0031"),
    *(
        b',"b":',
        b',"b":[]',
        b'"b":',
        b'"a":[]',
        b',"a":',
        b',"st":1',
        b',"st":01',
        b',"st":1e400',
        b"[],",
        b'["1","2"],',
    ),
    *(b'"data":', b'"data":{},', b',"stream":"x"', b'"stream":"btcusdt@depth20",', b'"],["', b'","', b'"]],"a":[["'),
    *(b',"new":1', b',"new":"\xff"', b',"new":"\\ud800"', b',"new":1e999', b',"E":null', b',"e":null', b',"s":"x'),
    *(
        b"92233720368.54775807",
        b"92233720368.54775808",
        b"1.000000000",
        b"12345678.5",
        b"90071992.54740993",
        b"007",
        b"1.",
    ),
]


def assert_same(payload):
    """Check that the long way and the short one end in the same message, whatever came before."""
    short, long = SEASONED.parse(payload), parse(payload)
    assert (type(short), short) == (type(long), long)
    assert SEASONED.parse(payload, rest=False, symbol="X", stream="y") == parse(
        payload, rest=False, symbol="X", stream="y"
    )


def mutated(frame, rng):
    """Change a frame in up to four places: a byte, a piece put in, a stretch cut, doubled or taken from another."""
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(frame) + 1)
        to = min(len(frame), at + rng.choice((1, 1, 2, 5, 20)))
        match rng.randrange(6):
            case 0:
                frame = frame[:at] + rng.choice(PIECES) + frame[at:]
            case 1:
                frame = frame[:at] + rng.choice(PIECES) + frame[to:]
            case 2:
                frame = frame[:at] + frame[to:]
            case 3:
                frame = frame[:to] + frame[at:]
            case 4:
                other = rng.choice(list(USUAL.values()))
                start = rng.randrange(len(other))
                frame = frame[:at] + other[start : start + rng.choice((3, 10, 60))] + frame[to:]
            case _:
                frame = frame[:at] + bytes([rng.randrange(256)]) + frame[to:]
    return frame


@pytest.mark.parametrize("name", sorted(USUAL.keys() - set(LEFT_TO_THE_PARSER)))
def test_a_usual_frame_is_typed_by_its_body_alone(name):
    """The short way is taken for what the venue sends most, and ends in the parser's own message."""
    message, heads = parse(USUAL[name]), Heads()
    head, _, body = USUAL[name].partition(b'"data":')
    heads.learn(head, message)
    typed, stream = heads[head]
    found = typed(body[:-1], stream, DecimalCache())
    assert (type(found), found) == (type(message), message)
    assert found.oddity == (OddityKind.IDS_REVERSED if "reversed" in name else None)


@pytest.mark.parametrize("name", sorted(USUAL))
def test_a_frame_is_the_same_message_the_second_time(name):
    """That the head was seen before makes no difference."""
    assert_same(USUAL[name])


@pytest.mark.parametrize("name", LEFT_TO_THE_PARSER)
def test_what_only_the_stream_s_name_tells_is_left_to_the_parser(name):
    """A top N in the shape of a diff, and a diff of another book, are never learnt."""
    heads = Heads()
    heads.learn(USUAL[name].partition(b'"data":')[0], parse(USUAL[name]))
    assert not heads


@given(st.sampled_from(sorted(USUAL)), st.integers(0, 2**64))
@settings(max_examples=1_000)
def test_a_changed_frame_is_the_same_either_way(name, seed):
    """Damage, keys out of place, strange numbers: the short way never sees another message in them."""
    assert_same(mutated(USUAL[name], random.Random(seed)))


@pytest.mark.parametrize("name", sorted(USUAL))
def test_each_piece_at_each_place_is_the_same_either_way(name):
    """What means something to JSON or to the short way, put in at any byte or in place of it."""
    frame = USUAL[name]
    for at in range(0, len(frame), 3):
        for piece in PIECES[at % 2 :: 2]:
            assert_same(frame[:at] + piece + frame[at + at % 2 :])


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2**65),
        st.sampled_from([0, 1, INT64_MAX, INT64_MAX + 1, INT64_MAX // 10**6, INT64_MAX // 10**6 + 1, 10**14]),
        st.floats(),
        st.text(max_size=5),
        st.from_regex(r"[0-9]{0,12}(\.[0-9]{0,10})?", fullmatch=True),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=4,
)


@given(st.data(), st.sampled_from(sorted(USUAL)), json_values, st.booleans(), st.booleans())
@settings(max_examples=500)
def test_any_value_for_any_key_is_the_same_either_way(data, name, value, shuffled, spaced):
    """Another type, another range, a key more or less, another order, white space: the parser's word holds."""
    frame = json.loads(USUAL[name])
    fields = frame["data"]
    key = data.draw(st.sampled_from([*fields, "b", "a", "st", "X", "new"]))
    if data.draw(st.integers(0, 4)):
        fields[key] = value
    else:
        fields.pop(key, None)
    if shuffled:
        frame["data"] = dict(data.draw(st.permutations(list(fields.items()))))
    assert_same(json.dumps(frame, separators=None if spaced else (",", ":"), ensure_ascii=spaced).encode())


decimal_texts = st.one_of(
    st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True),
    st.builds("{}.{:08d}".format, st.integers(0, 10**8), st.integers(0, 10**8 - 1)),
    st.sampled_from(
        ["9999999.99999999", "0.00000001", "10000000", "0", "92233720368.54775807", "-1", "1.", ".5", "1e2"]
    ),
)


@given(
    st.lists(st.lists(decimal_texts, min_size=2, max_size=2), max_size=6),
    st.lists(st.one_of(st.lists(decimal_texts, min_size=1, max_size=3), decimal_texts), max_size=3),
)
@settings(max_examples=500)
@example([["9007199.25474099", "9999999.99999999"]], [])
@example([["00.1", "1"]], [["1", "2"]])
def test_levels_of_any_text_are_the_same_either_way(bids, asks):
    """Converted all at once or one by one, in any number of decimals, levels are the same integers."""
    update = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 90, "u": 99, "b": bids, "a": asks}
    body = json.dumps(update, separators=(",", ":")).encode()
    assert_same(b'{"stream":"btcusdt@depth@100ms","data":' + body + b"}")


@given(st.lists(st.tuples(st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1)), max_size=20))
@settings(max_examples=500)
@example([(10**15 - 1, 10**15 - 2), (1, 0)])
def test_every_level_below_ten_million_is_exact(levels):
    """Up to seven digits and eight decimals no integer is off by one."""
    texts = [[f"{value // 10**8}.{value % 10**8:08d}" for value in level] for level in levels]
    update = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": 90, "u": 99, "b": texts, "a": texts[::-1]}
    frame = b'{"stream":"btcusdt@depth@100ms","data":' + json.dumps(update, separators=(",", ":")).encode() + b"}"
    message = SEASONED.parse(frame)
    assert isinstance(message, DepthDiff)
    assert (message.bids, message.asks) == (levels, levels[::-1])


def test_a_capped_size_is_flagged_each_time_and_nothing_after_it():
    """The cap is noticed on a stream whose head is known, and the next frame, typed or not, is not taken for capped."""
    capped = USUAL["spot bookTicker"].replace(b"4.2", b"92233720368.54775807")
    broken = capped.replace(b"3.7", b"x")
    for _ in range(3):
        message = SEASONED.parse(capped)
        assert (message.oddity, message.bid_sz_e8) == (OddityKind.SIZE_CAPPED, CAPPED_E8)
        assert SEASONED.parse(broken).oddity is OddityKind.MALFORMED
        assert SEASONED.parse(USUAL["spot bookTicker"]).oddity is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"stream":"a\\u0062c@trade","data":{}}',
        b'{"stream":"btcusdt@trade", "data":{}}',
        b'{ "stream":"btcusdt@trade","data":{}}',
        b'{"id":1,"stream":"btcusdt@trade","data":{}}',
        b'{"stream":"a","stream":"b","data":{}}',
        b'{"stream":"a\\"b","data":{}}',
        '{"stream":"币@trade","data":{}}'.encode(),
        b'{"e":"trade"}',
        b"",
    ],
)
def test_an_unusual_head_is_not_learnt(frame):
    """Escapes, white space, other keys or none: such frames go the long way every time."""
    heads = Heads()
    for name in USUAL:
        heads.learn(frame.partition(b'"data":')[0], parse(USUAL[name]))
    assert not heads


def test_heads_are_bounded():
    """However many streams there are, what is remembered stays small, and the newest is known."""
    heads, message = Heads(), parse(USUAL["spot trade"])
    for number in range(20_000):
        heads.learn(b'{"stream":"s%d@trade",' % number, message)
        assert len(heads) <= 16_384
    assert heads[b'{"stream":"s19999@trade",'][1] == "s19999@trade"


def test_only_four_messages_have_a_short_way():
    """Others are rare, so one way is enough for them."""
    kline = (
        b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"T":2,"i":"1m","f":1,"L":2,'
    )
    kline += b'"o":"1","c":"1","h":"1","l":"1","v":"1","n":1,"x":false,"q":"1"}}}'
    heads = Heads()
    for number, frame in enumerate([kline, *USUAL.values()]):
        message = parse(frame)
        heads.learn(b'{"stream":"%d",' % number, message)
        known = isinstance(message, BookTicker | Trade | AggTrade | DepthDiff)
        assert (b'{"stream":"%d",' % number in heads) is known
    assert isinstance(parse(kline), Kline)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"e":' * 100_000])
def test_an_unusual_body_is_refused_with_an_error_that_is_named(body):
    """The parser catches what is listed, and nothing else comes."""
    heads = Heads()
    for name, frame in USUAL.items():
        heads.learn(b'{"stream":"%b",' % name.encode(), parse(frame))
    assert len(heads) == len(USUAL) - len(LEFT_TO_THE_PARSER)
    for typed, stream in heads.values():
        with pytest.raises(UNUSUAL):
            typed(body, stream, DecimalCache())
