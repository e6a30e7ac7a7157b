"""Private REST of the local Bybit: what is signed is checked, limited, done and answered."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from tests.servers.bybit_answers import fail
from tests.servers.bybit_auth import ApiKey, Keys, Rates
from tests.servers.bybit_book import Book
from tests.servers.bybit_commands import After, Commands, Done, nothing
from tests.servers.bybit_faults import Call, Fault
from tests.servers.bybit_ledger import Account
from tests.servers.bybit_queries import Queries
from tests.servers.bybit_rules import Refusal
from tests.servers.bybit_world import World

LINEAR = "linear"
CATEGORIES = (LINEAR, "spot", "inverse", "option")

Params = Mapping[str, object]


@dataclass(frozen=True)
class Endpoint:
    """`limit` is how many requests an account has a second; `of_linear` needs a category."""

    serve: Callable[[Account, Params], Done]
    limit: int
    writes: bool
    of_linear: bool = True


class PrivateRest:
    """`settle` is called after whatever changed something, so that the streams tell of it."""

    def __init__(self, world: World, book: Book, keys: Keys, settle: Callable[[], None]) -> None:
        self._world = world
        self._book = book
        self._keys = keys
        self._rates = Rates(world)
        self._settle = settle
        commands = Commands(book)
        queries = Queries(book, self._seen)
        self._endpoints = {
            "/v5/order/create": Endpoint(commands.create, 10, True),
            "/v5/order/amend": Endpoint(commands.amend, 10, True),
            "/v5/order/cancel": Endpoint(commands.cancel, 10, True),
            "/v5/order/cancel-all": Endpoint(commands.cancel_all, 10, True),
            "/v5/order/realtime": Endpoint(_told(queries.realtime), 50, False),
            "/v5/order/history": Endpoint(_told(queries.history), 50, False),
            "/v5/execution/list": Endpoint(_told(queries.executions), 50, False),
            "/v5/position/list": Endpoint(_told(queries.positions), 50, False),
            "/v5/position/set-leverage": Endpoint(commands.set_leverage, 10, True),
            "/v5/position/switch-mode": Endpoint(commands.switch_mode, 10, True),
            "/v5/position/trading-stop": Endpoint(commands.trading_stop, 10, True),
            "/v5/account/wallet-balance": Endpoint(_told(queries.wallet), 50, False, False),
            "/v5/account/info": Endpoint(_told(queries.info), 50, False, False),
            "/v5/account/set-margin-mode": Endpoint(commands.set_margin_mode, 5, True, False),
            "/v5/account/fee-rate": Endpoint(_told(queries.fees), 5, False),
            "/v5/account/transaction-log": Endpoint(_told(queries.transactions), 25, False, False),
            "/v5/user/query-api": Endpoint(lambda account, params: ({}, nothing), 10, False, False),
        }

    def add_to(self, app: web.Application) -> None:
        for path, endpoint in self._endpoints.items():
            app.router.add_route("POST" if endpoint.writes else "GET", path, self._serve)

    def _seen(self) -> float:
        """The moment up to which reads know what happened."""
        return self._world.clock.monotonic() - self._world.faults.lag_s

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        payload = request.rel_url.raw_query_string
        params: Params = dict(request.query)
        if request.method == "POST":
            payload = await request.text()
            params = json.loads(payload or "{}")
        fault = self._fault(request, params)
        if fault is not None:
            await self._wait(fault.late_s)
            if fault.spoils and not fault.after:
                return await fail(self._world, request, fault)
        body, headers, after = self._carry_out(request, payload, params)
        if fault is not None and fault.spoils:
            self._finish(after)
            return await fail(self._world, request, fault)
        if fault is not None and fault.slow_s:
            self._finish(after)
            after = nothing
            await self._wait(fault.slow_s)
        return await self._answer(request, body, headers, after)

    async def _wait(self, seconds: float) -> None:
        if seconds:
            await self._world.clock.sleep(seconds)

    def _fault(self, request: web.Request, params: Params) -> Fault | None:
        world, path = self._world, request.path
        world.log_request(path, {name: str(value) for name, value in params.items()})
        key = self._keys.known.get(request.headers.get("X-BAPI-API-KEY", ""))
        call = Call(path, key.uid if key else "", params, world.requests[path])
        return world.faults.rest(path) or world.faults.private(call)

    async def _answer(
        self, request: web.Request, body: Params, headers: Mapping[str, str], after: After
    ) -> web.StreamResponse:
        """Answer, then let happen what was asked for; whether or not the client still listens."""
        response = web.json_response(body, headers=headers)
        if self._world.faults.push_first:
            self._finish(after)
            await asyncio.sleep(0)
            return response
        try:
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                await response.write_eof()
        finally:
            self._finish(after)
        return response

    def _finish(self, after: After) -> None:
        after()
        self._settle()

    def _carry_out(
        self, request: web.Request, payload: str, params: Params
    ) -> tuple[Params, Mapping[str, str], After]:
        """The answer, its headers, and what is still to happen."""
        headers: Mapping[str, str] = {}
        try:
            key = self._keys.of_request(request.headers, payload, request.remote)
            endpoint = self._endpoints[request.path]
            allowed, headers = self._rates.spend(key.uid, request.path, endpoint.limit)
            if not allowed:
                raise Refusal(10_006, "Too many visits. Exceeded the API Rate Limit.")
            result, after = self._do(key, endpoint, request.path, params)
        except Refusal as refusal:
            return self._world.body(refusal.code, refusal.message, {}), headers, nothing
        body = self._world.body(0, "OK", result)
        if self._world.spec:
            self._world.spec.check_answer(request.path, body)
        return body, headers, after

    def _do(self, key: ApiKey, endpoint: Endpoint, path: str, params: Params) -> Done:
        if self._world.spec:
            self._world.spec.check_request(path, params)
        if endpoint.writes and (key.read_only or not key.trades):
            text = "Permission denied, please check your API key permissions."
            raise Refusal(10_005, text)
        if path == "/v5/user/query-api":
            return key.row(), nothing
        category = params.get("category")
        if endpoint.of_linear and category not in CATEGORIES:
            raise Refusal(10_001, "Illegal category")
        if endpoint.of_linear and category != LINEAR and not endpoint.writes:
            return {"category": category, "list": [], "nextPageCursor": ""}, nothing
        return endpoint.serve(self._book.accounts[key.uid], params)


def _told(query: Callable[[Account, dict[str, str]], dict[str, object]]) -> Callable[..., Done]:
    """A query as an endpoint: its answer is all there is."""
    return lambda account, params: (query(account, params), nothing)
