"""Take a payload apart into what stays the same in its stream and where the values are, for the compiled kernel.

    {"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000", ...}}
    '{"stream":"btcusdt@bookTicker","data":{"u":'   WHOLE -> final      ',"s":"BTCUSDT","b":"'   DECIMAL -> price   ...

Only payloads the parser has made one of four messages of are taken apart, only flat ones of plain values, without
escapes, line breaks or a key twice. Then a payload that differs from it in nothing but the digits of its values is the
same message with other values: keys and constant values are those the parser has seen.
"""

import re
from enum import IntEnum
from typing import NamedTuple

from hftcap.binance.messages import AggTrade, BookTicker, DepthDiff, Message, Trade


class StepKind(IntEnum):
    """What stands behind a literal; the numbers are those of native/shape.h, as are the other two enums'."""

    LITERAL = 0
    WHOLE = 1
    DECIMAL = 2
    BOOL = 3
    LEVELS = 4


class ShapeType(IntEnum):
    """What a payload is to the kernel."""

    QUOTE = 1
    TRADE = 2
    AGGREGATE = 3
    DIFF = 4


class Field(IntEnum):
    """Where a value goes."""

    EVENT = 0
    TRADE = 1
    FIRST = 2
    FINAL = 3
    PREV = 4
    PRICE = 5
    SIZE = 6
    ASK_PRICE = 7
    ASK_SIZE = 8
    MAKER = 9
    BIDS = 10
    ASKS = 11
    UNUSED = 12


class Step(NamedTuple):
    """A literal, and the value behind it."""

    literal: bytes
    kind: int
    field: int


class Layout(NamedTuple):
    """What is learned from a payload."""

    type: ShapeType
    steps: list[Step]


LITERAL_BYTES = 112
"""A longer literal becomes several steps."""
STEPS_MAX = 32
SHORTEST_BYTES = 64
"""Shorter payloads are not learned: the kernel looks at so many bytes to find a shape."""

_FIELDS: dict[type[Message], tuple[ShapeType, dict[bytes, tuple[Field, StepKind]], frozenset[bytes]]] = {
    BookTicker: (
        ShapeType.QUOTE,
        {
            b"u": (Field.FINAL, StepKind.WHOLE),
            b"b": (Field.PRICE, StepKind.DECIMAL),
            b"B": (Field.SIZE, StepKind.DECIMAL),
            b"a": (Field.ASK_PRICE, StepKind.DECIMAL),
            b"A": (Field.ASK_SIZE, StepKind.DECIMAL),
            b"E": (Field.EVENT, StepKind.WHOLE),
            b"T": (Field.TRADE, StepKind.WHOLE),
        },
        frozenset((b"E", b"T")),
    ),
    Trade: (
        ShapeType.TRADE,
        {
            b"t": (Field.FINAL, StepKind.WHOLE),
            b"p": (Field.PRICE, StepKind.DECIMAL),
            b"q": (Field.SIZE, StepKind.DECIMAL),
            b"E": (Field.EVENT, StepKind.WHOLE),
            b"T": (Field.TRADE, StepKind.WHOLE),
            b"m": (Field.MAKER, StepKind.BOOL),
        },
        frozenset(),
    ),
    AggTrade: (
        ShapeType.AGGREGATE,
        {
            b"a": (Field.FINAL, StepKind.WHOLE),
            b"f": (Field.FIRST, StepKind.WHOLE),
            b"l": (Field.PREV, StepKind.WHOLE),
            b"p": (Field.PRICE, StepKind.DECIMAL),
            b"q": (Field.SIZE, StepKind.DECIMAL),
            b"E": (Field.EVENT, StepKind.WHOLE),
            b"T": (Field.TRADE, StepKind.WHOLE),
            b"m": (Field.MAKER, StepKind.BOOL),
        },
        frozenset(),
    ),
    DepthDiff: (
        ShapeType.DIFF,
        {
            b"U": (Field.FIRST, StepKind.WHOLE),
            b"u": (Field.FINAL, StepKind.WHOLE),
            b"pu": (Field.PREV, StepKind.WHOLE),
            b"b": (Field.BIDS, StepKind.LEVELS),
            b"a": (Field.ASKS, StepKind.LEVELS),
            b"E": (Field.EVENT, StepKind.WHOLE),
            b"T": (Field.TRADE, StepKind.WHOLE),
        },
        frozenset((b"pu", b"T")),
    ),
}
_STRING = rb'"[^"\\\x00-\x1f]*"'
_DECIMAL = rb"[0-9]{1,10}(?:\.[0-9]{1,8})?"
_LEVEL = rb'\["' + _DECIMAL + rb'","' + _DECIMAL + rb'"\]'
_HEAD = re.compile(rb'\{"stream":' + _STRING + rb',"data":\{')
_MEMBER = re.compile(
    rb'"([^"\\\x00-\x1f]+)":(?:'
    rb"(?P<string>" + _STRING + rb")|(?P<whole>0|[1-9][0-9]{0,17})(?![0-9.eE])|(?P<bool>true|false)|(?P<null>null)"
    rb"|(?P<levels>\[(?:" + _LEVEL + rb"(?:," + _LEVEL + rb")*)?\]))([,}])"
)
_QUOTED_DECIMAL = re.compile(b'"' + _DECIMAL + b'"')
_ENVELOPE_KEYS = frozenset((b"stream", b"data"))
_CONSTANT_KEYS = frozenset((b"e", b"s", b"X"))
"""They say what a message is, of what and of which kind, so another value makes another shape."""
_CONSTANT_DIGITS = 2


def layout_of(payload: bytes, message: Message) -> Layout | None:
    """Return the layout of a payload the parser made `message` of; None where it is not plain."""
    known = _FIELDS.get(type(message))
    if known is None or len(payload) < SHORTEST_BYTES or b"\n" in payload:
        return None
    shape_type, fields, optional = known
    head = _HEAD.match(payload)
    at, ending = (head.end(), b"}") if head else (1, b"")
    if head is None and payload[:1] != b"{":
        return None
    steps: list[Step] = []
    keys: set[bytes] = set()
    used: set[bytes] = set()
    since = 0  # where the literal under way began
    while (member := _MEMBER.match(payload, at)) is not None:
        key = member[1]
        if key in keys or (head is None and key in _ENVELOPE_KEYS):
            return None
        keys.add(key)
        value = None if key in _CONSTANT_KEYS else _value(member, fields.get(key))
        if value is not None:
            kind, field, start, end = value
            steps += _literals(payload[since:start])
            steps[-1] = Step(steps[-1].literal, kind, field)
            since = end
            if field is not Field.UNUSED:
                used.add(key)
        at = member.end()
        if member[7] == b"}":
            break
    else:
        return None
    if payload[at:] != ending or not fields.keys() - optional <= used or len(steps) > STEPS_MAX - 2:
        return None
    return Layout(shape_type, steps + _literals(payload[since:]))


def _value(member: re.Match[bytes], known: tuple[Field, StepKind] | None) -> tuple[StepKind, Field, int, int] | None:
    """Return kind, field and place of a value that is not part of a literal; None for one that is."""
    if known is not None:
        field, kind = known
        name = {StepKind.WHOLE: "whole", StepKind.DECIMAL: "string", StepKind.BOOL: "bool", StepKind.LEVELS: "levels"}
        start, end = member.span(name[kind])
        if start < 0 or (kind is StepKind.DECIMAL and not _QUOTED_DECIMAL.fullmatch(member[name[kind]])):
            return None  # `null`, or what is not plain: constant, if the message may go without it
        # The opening quote or bracket is the literal's, the closing one is read with the value.
        return kind, field, start + (kind in (StepKind.DECIMAL, StepKind.LEVELS)), end
    start, end = member.span("whole")
    if end - start > _CONSTANT_DIGITS:
        return StepKind.WHOLE, Field.UNUSED, start, end
    if (text := member["string"]) is not None and _QUOTED_DECIMAL.fullmatch(text):
        start, end = member.span("string")
        return StepKind.DECIMAL, Field.UNUSED, start + 1, end
    return None


def _literals(text: bytes) -> list[Step]:
    """Cut a literal into steps of which none is too long."""
    parts = [text[at : at + LITERAL_BYTES] for at in range(0, len(text), LITERAL_BYTES)] or [b""]
    return [Step(part, StepKind.LITERAL, Field.UNUSED) for part in parts]
