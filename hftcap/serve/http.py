"""HTTP at the door: REST answers with their headers and faults, and our own endpoint; WebSockets are handed on."""

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web

from hftcap.serve.answers import BANNED, JSON_TYPE, TOO_MUCH, found_at, json_response
from hftcap.serve.faults import Fault, FaultKind, fault_of
from hftcap.serve.params import RestRefused
from hftcap.serve.paths import BAD_UNIT, ControlPath, NoPath, RestPath, StreamPath, TimeUnit, WsApiPath, target_of
from hftcap.serve.rest import Found, refusal, weight_of
from hftcap.serve.sockets import SocketFront
from hftcap.serve.weights import Charge

if TYPE_CHECKING:
    from hftcap.serve.server import Server

UNIT_HEADER = "X-MBX-TIME-UNIT"
NOTE_HEADER = "X-Hftcap-Note"


class HttpFront:
    """Answers requests for a server."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._market = server.market
        self._sockets = SocketFront(server)

    async def nobody_left(self) -> None:
        """Wait until all connections have ended."""
        await self._sockets.nobody_left()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        target = target_of(request.raw_path, self._market.market)
        match target:
            case StreamPath():
                return await self._sockets.stream(request, target)
            case WsApiPath():
                return await self._sockets.api(request)
            case RestPath():
                return await self._rest(request, target)
            case ControlPath():
                return await self._control(request, target.name)
            case NoPath():
                return json_response(target.status, refusal(RestRefused(target.status, target.code, target.text)))

    # REST

    async def _rest(self, request: web.BaseRequest, target: RestPath) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return json_response(405, refusal(RestRefused(405, -1000, "Method not allowed.")))
        market, server = self._market, self._server
        address = request.remote or ""
        faults = tuple(market.faults.on_request(target.endpoint, market.since_ns))
        kinds = {fault.kind: fault for fault in faults}
        if FaultKind.SLOW in kinds:
            await asyncio.sleep(kinds[FaultKind.SLOW].for_ns / 1e9)
        wall_ns = server.clock.wall_ns()
        charge = market.weights.charge(address, weight_of(market.market, target.endpoint, target.params), wall_ns)
        if FaultKind.STATUS in kinds:
            return self._faulty_status(kinds[FaultKind.STATUS], charge)
        if charge.status != 200:
            return self._beyond(charge, wall_ns)
        try:
            found = await found_at(market, target.endpoint, target.params, _unit_of(request), faults)
        except RestRefused as refused:
            headers = self._headers(charge)
            if refused.note:
                headers[NOTE_HEADER] = refused.note
                server.say(f"hftcap: REST {target.endpoint} refused: {refused.note}")
            return json_response(refused.status, refusal(refused), headers)
        headers = self._headers(charge)
        if found.note:
            headers[NOTE_HEADER] = found.note
            server.say(f"hftcap: REST {target.endpoint} {dict(target.params).get('symbol', '')}: {found.note}")
        if FaultKind.CUT_BODY in kinds:
            return await self._cut_body(request, found, headers)
        return json_response(200, found.body, headers)

    def _headers(self, charge: Charge) -> dict[str, str]:
        used = str(charge.used)
        return {"X-MBX-USED-WEIGHT": used, "x-mbx-used-weight-1m": used}

    def _beyond(self, charge: Charge, wall_ns: int) -> web.Response:
        headers = self._headers(charge) | {"Retry-After": str(charge.retry_after(wall_ns))}
        words = TOO_MUCH.format(self._market.limits.weight_per_minute)
        if charge.status == 418:
            words = BANNED.format(charge.until_ns // 1_000_000)
        return json_response(charge.status, refusal(RestRefused(charge.status, -1003, words)), headers)

    def _faulty_status(self, fault: Fault, charge: Charge) -> web.Response:
        headers = self._headers(charge)
        code, words = -1000, "An unknown error occurred while processing the request."
        if fault.status in (418, 429):
            headers["Retry-After"] = str(fault.retry_after)
            limit = self._market.limits.weight_per_minute
            until_ms = self._server.clock.wall_ns() // 1_000_000 + fault.retry_after * 1_000
            code, words = -1003, (BANNED.format(until_ms) if fault.status == 418 else TOO_MUCH.format(limit))
        elif fault.status == 451:
            code, words = 0, "Service unavailable from a restricted location according to 'b. Eligibility'."
        return json_response(fault.status, refusal(RestRefused(fault.status, code, words)), headers)

    async def _cut_body(self, request: web.BaseRequest, found: Found, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers | {"Content-Type": JSON_TYPE})
        response.content_length = len(found.body)
        await response.prepare(request)
        await response.write(found.body[: len(found.body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    # Ours

    async def _control(self, request: web.BaseRequest, name: str) -> web.Response:
        """Faults and status, for tests on this host: POST or DELETE `faults`, GET `status`."""
        market = self._market
        match request.method, name:
            case "GET", "status":
                state = market.position() | {
                    "connections": {
                        str(number): {
                            "streams": len(each.session.streams),
                            "sent_bytes": each.sent_bytes,
                            "waiting_bytes": each.waiting_bytes,
                        }
                        for number, each in self._server.connections.items()
                    },
                    "faults": [
                        {"kind": each.fault.kind, "seen": each.seen, "fired": each.fired}
                        for each in market.faults.triggers
                    ],
                }
                return json_response(200, json.dumps(state).encode())
            case "POST", "faults":
                # Not to be had by a page in somebody's browser: those may not send this type without being asked.
                if request.content_type != "application/json":
                    return json_response(415, b'{"error":"expected Content-Type: application/json"}')
                try:
                    body = json.loads(await request.read())
                    faults = [fault_of(entry) for entry in (body if type(body) is list else [body])]
                except (ValueError, AttributeError, RecursionError) as error_:
                    return json_response(400, json.dumps({"error": str(error_)}).encode())
                for fault in faults:
                    market.faults.add(fault)
                return json_response(200, b"{}")
            case "DELETE", "faults":
                market.faults.clear()
                return json_response(200, b"{}")
            case _:
                return json_response(404, b'{"error":"POST or DELETE faults, GET status"}')


def _unit_of(request: web.BaseRequest) -> TimeUnit | None:
    text = request.headers.get(UNIT_HEADER)
    if text is None:
        return None
    if text.upper() not in set(TimeUnit):
        raise RestRefused(400, -1194, BAD_UNIT)
    return TimeUnit(text.upper())
