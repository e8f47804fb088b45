"""Answers to control requests, told from everything else that is no event.

Answers are never wrapped in the combined envelope. Errors come bare or nested; both are accepted.

Source: protocol notes, sections 2.1 and 3 (binance-spot-api-docs a5e0bc3, web-socket-streams.md).
"""

from hftcap.binance.fields import Fields, event_ns_if_any, reply_id
from hftcap.binance.messages import Ack, ErrorReply, Message, Oddity, OddityKind, ServerShutdown


def reply(data: Fields, stream: str | None) -> Message:
    """Return the answer in `data`, or `serverShutdown` as the WebSocket API wraps it, or an oddity."""
    error = data.get("error", data)
    if type(error) is dict and type(error.get("code")) is int and type(error.get("msg")) is str:
        return ErrorReply(stream=stream, code=error["code"], text=error["msg"], id=reply_id(data))
    if "result" in data and "id" in data:
        return Ack(stream=stream, id=reply_id(data), result=data["result"])
    wrapped = data.get("event")
    if type(wrapped) is dict and wrapped.get("e") == "serverShutdown":
        return ServerShutdown(stream=stream, event_ns=event_ns_if_any(wrapped))
    return unknown(f"found keys {sorted(data)[:6]}, expected an event or an answer", stream)


def unknown(detail: str, stream: str | None, symbol: str | None = None, event_ns: int | None = None) -> Oddity:
    """Return the oddity of a payload that is JSON and no message known here."""
    return Oddity(oddity=OddityKind.UNKNOWN, detail=detail, stream=stream, symbol=symbol, event_ns=event_ns)
