"""WebSocket connections from handshake to end: streams, and the WebSocket API."""

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from hftcap.binance.endpoints import WS_API_CONNECT_WEIGHT
from hftcap.serve.answers import TOO_MUCH, found_at, json_response
from hftcap.serve.connection import SOFT_BYTES, Connection
from hftcap.serve.control import Refused, error
from hftcap.serve.exchange_info import rate_limits
from hftcap.serve.hub import Shape
from hftcap.serve.options import StartOn
from hftcap.serve.params import RestRefused
from hftcap.serve.paths import StreamPath, TimeUnit
from hftcap.serve.rest import refusal, weight_of
from hftcap.serve.session import Answer, Session
from hftcap.serve.wire import PONG, frame
from hftcap.serve.ws_api import api_answer, api_refusal, read_api_request

if TYPE_CHECKING:
    from hftcap.serve.server import Server

MESSAGE_BYTES = 4 << 20
"""A longer message of a client ends its connection with 1009."""


class SocketFront:
    """Serves WebSocket connections for a server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._market = server.market
        self._left = asyncio.Event()

    async def nobody_left(self) -> None:
        """Wait until all connections have ended."""
        while self._server.connections:
            self._left.clear()
            await self._left.wait()

    async def stream(self, request: web.BaseRequest, target: StreamPath) -> web.StreamResponse:
        """Serve a stream connection until it ends."""
        refused = self._refuse_handshake(request)
        if refused is not None:
            return refused
        market, server = self._market, self._server
        websocket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=MESSAGE_BYTES)
        writer = await websocket.prepare(request)
        transport = request.transport
        if transport is None or writer is None:
            return websocket
        transport.set_write_buffer_limits(high=SOFT_BYTES)
        limits = market.limits
        age_ns = market.faults.age_ns()
        if age_ns is not None:
            limits = limits.changed({"max_age_ns": age_ns})
        now = server.clock.mono_ns()
        session = Session(market.market, limits, combined=target.combined, streams=target.streams, now_ns=now)
        shape = Shape(target.combined, self._converted(target.unit))
        connection = Connection(server.accepted(), transport, session, shape, target.route, writer.drain)
        server.connections[connection.number] = connection
        try:
            self._opened(connection)
            await self._receive(websocket, connection)
        finally:
            market.hub.unsubscribe(connection, list(session.streams))
            del server.connections[connection.number]
            transport.close()
            self._left.set()
        return websocket

    def _refuse_handshake(self, request: web.BaseRequest) -> web.Response | None:
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            return json_response(400, refusal(RestRefused(400, -1000, "WebSocket upgrade expected.")))
        wait_s = self._market.weights.attempt(request.remote or "", self._server.clock.mono_ns())
        if wait_s:
            refused = refusal(RestRefused(429, -1003, "Too many connection attempts."))
            return json_response(429, refused, {"Retry-After": str(wait_s)})
        return None

    def _converted(self, unit: TimeUnit | None) -> TimeUnit | None:
        """Return the unit that times are to be put into, None where the capture has it already."""
        captured = TimeUnit.MICROSECOND if self._market.catalog.microseconds else TimeUnit.MILLISECOND
        if unit is None or unit is captured:
            return None
        lost = "cut to milliseconds" if unit is TimeUnit.MILLISECOND else "milliseconds with 000 behind them"
        self._server.say(f"hftcap: timeUnit={unit} was asked for, the capture has {captured}: times are {lost}")
        return unit

    def _opened(self, connection: Connection) -> None:
        session, server = connection.session, self._server
        if session.overfull:
            session.streams.clear()
            connection.control(frame(error(Refused(4, "Too many subscriptions"))))
        self._market.hub.subscribe(connection, session.streams)
        if server.options.start_on is StartOn.CONNECT:
            server.begin()
        if session.streams:
            server.wanted(list(session.streams))

    async def _receive(self, websocket: web.WebSocketResponse, connection: Connection) -> None:
        session, clock = connection.session, self._server.clock
        while True:
            message = await websocket.receive()
            kind = message.type
            if kind not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG):
                if kind is WSMsgType.CLOSE:
                    connection.close(message.data or 1000, "")
                return
            closed = session.frame(clock.mono_ns())
            if closed is not None:
                connection.close(closed.code, closed.reason)
            if connection.closing is not None:
                continue  # until the client has said goodbye as well, or is cut off
            if kind is WSMsgType.PING:
                connection.control(frame(bytes(message.data), PONG))
            elif kind is WSMsgType.PONG:
                session.pong(bytes(message.data))
            elif kind is WSMsgType.TEXT:
                size = len(message.data.encode())
                self._carry_out(connection, session.text(message.data, size))

    def _carry_out(self, connection: Connection, said: Answer) -> None:
        market, server = self._market, self._server
        if said.removed:
            market.hub.unsubscribe(connection, said.removed)
        if said.regrouped:
            shape = Shape(connection.session.combined, connection.shape.unit)
            market.hub.reshape(connection, shape, connection.session.streams)
        silent = bool(said.added) and market.faults.on_subscribe(market.since_ns, connection.number)
        if said.reply is not None:
            connection.control(frame(said.reply))
        if said.added and not silent:
            market.hub.subscribe(connection, said.added)
            server.wanted(said.added)
        if said.close is not None:
            connection.close(said.close.code, said.close.reason)

    async def api(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve a connection of the WebSocket API until it ends."""
        refused = self._refuse_handshake(request)
        if refused is not None:
            return refused
        market, server = self._market, self._server
        address = request.remote or ""
        market.weights.charge(address, WS_API_CONNECT_WEIGHT, server.clock.wall_ns())
        websocket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=MESSAGE_BYTES)
        writer = await websocket.prepare(request)
        transport = request.transport
        if transport is None or writer is None:
            return websocket
        session = Session(market.market, market.limits, combined=False, now_ns=server.clock.mono_ns())
        connection = Connection(server.accepted(), transport, session, Shape(False), None, writer.drain)
        server.connections[connection.number] = connection
        try:
            while True:
                message = await websocket.receive()
                if message.type is WSMsgType.TEXT:
                    connection.control(frame(await self._api(message.data, address)))
                elif message.type is WSMsgType.PING:
                    connection.control(frame(bytes(message.data), PONG))
                elif message.type is WSMsgType.PONG:
                    session.pong(bytes(message.data))
                elif message.type is not WSMsgType.BINARY:
                    if message.type is WSMsgType.CLOSE:
                        connection.close(message.data or 1000, "")
                    break
        finally:
            del server.connections[connection.number]
            transport.close()
            self._left.set()
        return websocket

    async def _api(self, text: str, address: str) -> bytes:
        market = self._market
        limits = rate_limits(market.market, market.limits.weight_per_minute)
        wall_ns = self._server.clock.wall_ns()
        try:
            asked = read_api_request(text)
        except RestRefused as refused:
            used = market.weights.charge(address, 1, wall_ns).used
            return api_refusal(json.loads(refused.note or "null"), limits, used, refused)
        charge = market.weights.charge(address, weight_of(market.market, asked.endpoint, asked.params), wall_ns)
        if charge.status != 200:
            words = TOO_MUCH.format(market.limits.weight_per_minute)
            return api_refusal(asked.id, limits, charge.used, RestRefused(charge.status, -1003, words))
        try:
            found = await found_at(market, asked.endpoint, asked.params, None, ())
        except RestRefused as refused:
            return api_refusal(asked.id, limits, charge.used, refused)
        return api_answer(asked.id, limits, charge.used, found.body)
