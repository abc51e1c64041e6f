"""connections.list: pages, sync tokens and what they forgive."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from services.connectors.google_contacts.sandbox.person import People, State, shown
from services.connectors.google_contacts.sandbox.refusal import ApiError, Json
from services.connectors.google_contacts.sandbox.shape import read_mask

TOKEN_DAYS = 7
ORDERS = ("LAST_MODIFIED_ASCENDING", "LAST_MODIFIED_DESCENDING", "FIRST_NAME_ASCENDING", "LAST_NAME_ASCENDING")
_TOKENS = ("pageToken", "syncToken")


class Feed:
    """Lists of the account's contacts."""

    def __init__(self, clock: Callable[[], float], people: People) -> None:
        self._clock = clock
        self._people = people
        self.oldest = 0.0
        """Tokens made before this moment have expired (seconds since 1970)."""

    def list(self, params: Mapping[str, str]) -> Json:
        """Answer one connections.list. Raises ApiError."""
        fields = read_mask(params.get("personFields", ""))
        size = _size(params.get("pageSize", ""))
        order = params.get("sortOrder") or ORDERS[0]
        if order not in ORDERS:
            raise ApiError("Invalid sortOrder.")
        call = {key: value for key, value in sorted(params.items()) if key not in _TOKENS and value}
        since, full_at = self._since(params.get("syncToken", ""), call)
        page = params.get("pageToken", "")
        if page:
            at = _opened(page, "page token", call)
            if at["since"] != since:
                raise ApiError("Invalid page token: the sync token of the first call is missing.")
            offset, view, full_at = int(at["offset"]), int(at["view"]), float(at["full_at"])
        else:
            offset, view = 0, self._people.now_visible()
        states = [each for each in self._people.at(view) if self._belongs(each, since)]
        if order.endswith("DESCENDING"):
            states.reverse()
        answer: Json = {"connections": [self._row(each, fields, since) for each in states[offset : offset + size]]}
        if since is None:
            answer |= {"totalPeople": len(states), "totalItems": len(states)}
        if offset + size < len(states):
            after = {"offset": offset + size, "view": view, "since": since, "full_at": full_at, "call": call}
            answer["nextPageToken"] = _sealed(after)
        elif params.get("requestSyncToken") == "true":
            answer["nextSyncToken"] = _sealed({"view": view, "full_at": full_at, "call": call})
        if not answer["connections"]:
            del answer["connections"]
        return answer

    def is_first_of_full_sync(self, params: Mapping[str, str]) -> bool:
        """Whether the request counts against the full sync's own quota."""
        return not params.get("pageToken") and not params.get("syncToken")

    def expire_tokens(self) -> None:
        """Every sync token handed out so far has expired."""
        self.oldest = self._clock() + 0.001

    def _since(self, token: str, call: Json) -> tuple[int | None, float]:
        """The change after which the list begins (None: everything), and when the full sync was."""
        now = self._clock()
        if not token:
            return None, now
        at = _opened(token, "sync token", call)
        full_at = float(at["full_at"])
        if now - full_at > TOKEN_DAYS * 86400 or full_at < self.oldest:
            raise ApiError(
                "Sync token is expired. Clear local cache and retry call without the sync token.",
                status="FAILED_PRECONDITION",
                reason="EXPIRED_SYNC_TOKEN",
            )
        return int(at["view"]), full_at

    def _belongs(self, state: State, since: int | None) -> bool:
        return state.person is not None if since is None else state.number > since

    def _row(self, state: State, fields: frozenset[str], since: int | None) -> Json:
        if state.person is None:
            name = self._people.name_of(state)
            return {"resourceName": name, "etag": f"%gone{state.number}", "metadata": {"deleted": True}}
        row = shown(state.person, fields)
        if state.previous and since is not None and "metadata" in row:
            row["metadata"]["previousResourceNames"] = [state.previous]
        return row


def _size(text: str) -> int:
    if not text or text == "0":
        return 100
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise ApiError("Invalid pageSize: it must be between 1 and 1000.")
    return int(text)


def _sealed(token: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(token).encode()).decode()


def _opened(text: str, kind: str, call: Json) -> dict[str, Any]:
    try:
        token: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text.encode()))
        expected = token["call"]
    except (ValueError, binascii.Error, KeyError, TypeError) as error:
        raise ApiError(f"Invalid {kind}.") from error
    if expected != call:
        raise ApiError(f"Request parameters differ from those of the call that gave the {kind}.")
    return token
