"""ingest's HTTP side as one ASGI application."""

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from services.ingest.body import Refusal
from services.ingest.hooks import Hooks, refused
from services.runtime.health import Health
from services.runtime.health import routes as health_routes


def application(hooks: Hooks, health: Health) -> Starlette:
    """Return the ASGI application: `/hooks/{account}`, `/livez`, `/readyz`, `/metrics`."""

    async def deliver(request: Request) -> Response:
        try:
            return await hooks(request)
        except Exception as error:  # noqa: BLE001 - else the server prints it, with the delivery's data
            structlog.get_logger().error("delivery_failed", error=type(error).__name__)
            return refused(_BUG)

    app = Starlette(exception_handlers={HTTPException: _http_error})
    routes = [Route("/hooks/{account}", deliver, methods=["POST"]), *health_routes(health)]
    app.router = Router(routes, redirect_slashes=False)
    return app


# The sender tries again, so that a mended program loses nothing.
_BUG = Refusal(status=500, code="bug", error="A fault of ours: nothing was taken. Send the delivery again later.")


async def _http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            sentence, code = "There is nothing here. Deliveries go to /hooks/ACCOUNT.", "path"
        case 405:
            sentence, code = f"This address takes {headers.get('Allow', 'another method')} only.", "method"
        case _:
            sentence, code = "The request can't be served.", "http"
    return refused(Refusal(status=error.status_code, code=code, error=sentence, headers=headers))
