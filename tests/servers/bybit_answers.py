"""How a request to the local Bybit fails."""

import asyncio
import json

from aiohttp import web

from tests.servers.bybit_faults import Fault
from tests.servers.bybit_world import World

JSON = "application/json"
HTML = "text/html"


async def fail(world: World, request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.hang:
        # Until whoever asked has left, or the server ends.
        await asyncio.Event().wait()
    if fault.drop and request.transport is not None:
        request.transport.abort()
    body = fault.body
    if body is None:
        body = json.dumps(world.body(fault.code, fault.message, {}))
    kind = HTML if body.startswith("<") else JSON
    return web.Response(status=fault.status, text=body, content_type=kind, headers=fault.headers)
