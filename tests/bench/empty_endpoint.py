"""The limit of B2: Starlette under our own server, with an endpoint that reads the body and answers.

`python -m tests.bench.empty_endpoint PORT`.
"""

from __future__ import annotations

import asyncio
import socket
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.ingest.server import Server


async def _take(request: Request) -> Response:
    return JSONResponse({"received": len(await request.body()) and 1})


if __name__ == "__main__":
    app = Starlette(routes=[Route("/hooks/{account}", _take, methods=["POST"])])
    asyncio.run(Server(app, grace=1).serve(sockets=[socket.create_server(("127.0.0.1", int(sys.argv[1])))]))
