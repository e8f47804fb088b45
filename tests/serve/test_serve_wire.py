"""Frames as RFC 6455 has them, envelopes off and on by position."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hftcap.serve.wire import CLOSE, PING, close_frame, enveloped, event_of, fragments, frame, header, usual


def read_frames(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Take unmasked frames apart: opcode, whether it is the last of its message, payload."""
    found = []
    while data:
        first, size = data[0], data[1]
        at = 2
        if size == 126:
            (size,) = struct.unpack(">H", data[2:4])
            at = 4
        elif size == 127:
            (size,) = struct.unpack(">Q", data[2:10])
            at = 10
        found.append((first & 15, bool(first & 128), data[at : at + size]))
        data = data[at + size :]
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_a_frame_has_the_length_of_its_payload(size):
    """In one, three or nine bytes."""
    assert read_frames(frame(b"x" * size)) == [(1, True, b"x" * size)]
    assert frame(b"x" * size) == header(size) + b"x" * size


@given(st.binary(max_size=500), st.integers(1, 40))
def test_fragments_make_up_the_message(payload, pieces):
    """The first says text, the others go on, the last ends; pings may stand between."""
    frames = [each for each in read_frames(fragments(payload, pieces, frame(b"p", PING))) if each[0] != PING]
    assert b"".join(each[2] for each in frames) == payload
    assert [each[0] for each in frames] == [1] + [0] * (len(frames) - 1)
    assert [each[1] for each in frames] == [False] * (len(frames) - 1) + [True]
    assert len(frames) <= pieces


def test_a_close_reason_fits_its_frame():
    """123 bytes at most, cut between characters."""
    ((opcode, _, payload),) = read_frames(close_frame(1008, "ü" * 100))
    assert opcode == CLOSE
    assert struct.unpack(">H", payload[:2]) == (1008,)
    assert payload[2:].decode() == "ü" * 61


BODY = b'{"e":"x","stream":"data","data":{"data":1}}'


@pytest.mark.parametrize(
    ("payload", "is_usual"),
    [
        (b'{"stream":"a@trade","data":' + BODY + b"}", True),
        (b'{"stream":"a@trade", "data":' + BODY + b"}", True),
        (b'{"data":' + BODY + b',"stream":"a@trade"}', False),
        (b'{ "stream" : "a@trade", "data" : ' + BODY + b" }", False),
        (b'{"stream":"a@trade","data":' + BODY + b',"more":1}', False),
    ],
)
def test_the_event_of_an_envelope_in_any_shape_keeps_its_bytes(payload, is_usual):
    """Only what stands around it is made anew."""
    found = usual(payload)
    assert found is not None
    name, normal, was_usual = found
    assert (name, was_usual) == ("a@trade", is_usual)
    assert event_of(normal) == BODY
    assert normal == (payload if is_usual else enveloped("a@trade", BODY))


@given(st.binary(max_size=200))
def test_what_is_no_envelope_is_none(payload):
    """Whatever bytes come."""
    assert usual(payload) is None or payload.startswith(b"{")


def test_names_beyond_ascii_stay_as_they_are():
    """Raw UTF-8, as the venue sends it."""
    assert enveloped("测试usdt@trade", b"{}") == '{"stream":"测试usdt@trade","data":{}}'.encode()
