"""The venue's most frequent frames in the shape it sends them, typed at once; the parser takes all others.

    {"stream":"NAME","data":BODY}        BODY = a quote, a print or an update, of keys known here and no others

Most frames of a recording look like this. A function here returns exactly what the parser would make of the same
body, or raises one of `UNUSUAL`, and then the parser says what the frame is or what is wrong with it. To be exact,
nothing is skipped unread: a key not named here is unusual, and so is a value not of the type given here.

Source: as for the parser.
"""

import re
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from hftcap.binance.fields import MS_MAX, Malformed, venue_ns
from hftcap.binance.messages import AggTrade, BookTicker, DepthDiff, Level, Message, OddityKind, Trade
from hftcap.errors import NotADecimal, Unrepresentable
from hftcap.fixed import INT64_MAX, DecimalCache

_Ms = Annotated[int, msgspec.Meta(ge=0, le=MS_MAX)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]

UNUSUAL = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Malformed, NotADecimal, Unrepresentable)
"""What a body that is not of its usual shape raises."""

_HEADS_REMEMBERED = 16_384
_HEAD = re.compile(rb'\{"stream":"([ !#-\[\]-~]{1,200})",')
# No possessive quantifiers, though nothing here needs to be tried twice: before Python 3.11.5 they match what they must
# not (gh-106052), here a size without its closing quote.
_DECIMAL = rb"[0-9]{1,7}(?:\.[0-9]{1,8})?"
_PAIR = rb'\["' + _DECIMAL + rb'","' + _DECIMAL + rb'"'
_SIDE = rb"\[(?:" + _PAIR + rb"(?:\]," + _PAIR + rb")*\])?\]"
_SIDES = re.compile(b"(%b)" % _SIDE + b',"a":' + b"(%b)" % _SIDE + rb'((?:,"st":[0-9]+)?\})')


class _Quote(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A bookTicker. Its times are in milliseconds: spot's has none, and futures know no microseconds."""

    u: _Id
    s: str
    b: str
    B: str
    a: str
    A: str
    T: _Ms | None = None
    E: _Ms | None = None
    e: Literal["bookTicker"] | None = None
    ps: str | None = None
    st: int | None = None


class _Trade(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    e: Literal["trade"]
    E: int
    s: str
    t: _Id
    p: str
    q: str
    T: int
    m: bool
    X: str | None = None
    M: bool | None = None
    st: int | None = None


class _AggTrade(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    e: Literal["aggTrade"]
    E: int
    s: str
    a: _Id
    p: str
    q: str
    f: _Id
    l: _Id  # noqa: E741  the venue's letter
    T: int
    m: bool
    M: bool | None = None
    nq: str | None = None
    st: int | None = None


class _Update(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An update without its levels."""

    e: Literal["depthUpdate"]
    E: int
    s: str
    U: _Id
    u: _Id
    T: int | None = None
    pu: Annotated[int, msgspec.Meta(ge=-1, le=INT64_MAX)] | None = None
    ps: str | None = None
    st: int | None = None


_decode_quote = msgspec.json.Decoder(_Quote).decode
_decode_trade = msgspec.json.Decoder(_Trade).decode
_decode_agg_trade = msgspec.json.Decoder(_AggTrade).decode
_decode_side = msgspec.json.Decoder(list[Level], strict=False).decode
_decode_update = msgspec.json.Decoder(_Update).decode

Typed = Callable[[bytes, str, DecimalCache], Message]


def quote(body: bytes, stream: str, e8: DecimalCache) -> BookTicker:
    """Type a bookTicker."""
    wire = _decode_quote(body)
    event, transaction = wire.E, wire.T
    return BookTicker(
        stream=stream,
        symbol=wire.s,
        event_ns=None if event is None else event * 1_000_000,
        trade_ns=None if transaction is None else transaction * 1_000_000,
        update_id=wire.u,
        bid_px_e8=e8[wire.b],
        bid_sz_e8=e8[wire.B],
        ask_px_e8=e8[wire.a],
        ask_sz_e8=e8[wire.A],
    )


def trade(body: bytes, stream: str, e8: DecimalCache) -> Trade:
    """Type a trade."""
    wire = _decode_trade(body)
    kind = wire.X
    return Trade(
        stream=stream,
        symbol=wire.s,
        event_ns=venue_ns(wire.E),
        trade_id=wire.t,
        price_e8=e8[wire.p],
        size_e8=e8[wire.q],
        trade_ns=venue_ns(wire.T),
        side="A" if wire.m else "B",
        kind="trade" if kind is None else kind,
    )


def agg_trade(body: bytes, stream: str, e8: DecimalCache) -> AggTrade:
    """Type an aggregate trade."""
    wire = _decode_agg_trade(body)
    return AggTrade(
        stream=stream,
        symbol=wire.s,
        event_ns=venue_ns(wire.E),
        trade_id=wire.a,
        price_e8=e8[wire.p],
        size_e8=e8[wire.q],
        first_trade_id=wire.f,
        last_trade_id=wire.l,
        trade_ns=venue_ns(wire.T),
        side="A" if wire.m else "B",
        oddity=OddityKind.IDS_REVERSED if wire.f > wire.l else None,
    )


def depth_diff(body: bytes, stream: str, e8: DecimalCache) -> DepthDiff:
    """Type an update of the normal book; the levels come last and are converted all at once."""
    before, _, levels = body.partition(b',"b":')
    sides = _SIDES.fullmatch(levels)
    if sides is None:
        raise Malformed("the levels are not the last two keys, or not spelt as usual")
    bids, asks, after = sides.groups()
    # Without the levels it is an object still. Were `before` cut inside a string, `after` could not end it well.
    wire = _decode_update(before + after)
    transaction = wire.T
    return DepthDiff(
        stream=stream,
        symbol=wire.s,
        event_ns=venue_ns(wire.E),
        trade_ns=None if transaction is None else venue_ns(transaction),
        first_update_id=wire.U,
        final_update_id=wire.u,
        prev_final_update_id=wire.pu,
        bids=_side(bids),
        asks=_side(asks),
        oddity=OddityKind.IDS_REVERSED if wire.u < wire.U else None,
    )


def _side(text: bytes) -> list[Level]:
    """Turn a whole match of `_SIDE` into price and size of each level, scaled by 1e8.

    `[["61602.01","1.5"]]` is read as `[[61602.01e8,1.5e8]]`. The reader goes by way of a float, rightly rounded; with
    seven digits and eight decimals a scaled value is below 2**53, so the float is that very integer.

    Raises:
        msgspec.DecodeError: a number has leading zeros; `parse_e8` knows what it is.
    """
    if text == b"[]":
        return []
    numbers = text[3:-3].replace(b'"],["', b"e8],[").replace(b'","', b"e8,")
    levels: list[Level] = _decode_side(b"[[" + numbers + b"e8]]")
    return levels


_TYPED: dict[type[Message], Typed] = {BookTicker: quote, Trade: trade, AggTrade: agg_trade, DepthDiff: depth_diff}


class Heads(dict[bytes, tuple[Typed, str]]):
    """What frames begin with up to their `"data":`, and how to type what follows: by which function, as which stream.

    Bounded: at 16,384 heads it forgets everything and starts again.
    """

    def learn(self, head: bytes, message: Message) -> None:
        """Remember the head of a frame that the parser made `message` of, if both are usual.

        Such a head has one key and no escapes, so the body alone decides whether a frame that begins with it is JSON.
        """
        typed, found = _TYPED.get(type(message)), _HEAD.fullmatch(head)
        if typed is not None and found is not None:
            if len(self) >= _HEADS_REMEMBERED:
                self.clear()
            self[head] = typed, found[1].decode("ascii")
