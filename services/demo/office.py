"""Google Contacts as somebody else uses it: through the People API, past contactsync."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2

from services.demo.servers import OFFICE

_FIELDS = "names,emailAddresses,phoneNumbers,addresses,metadata"

Contact = Mapping[str, Any]


class Office:
    """One Google account. Raises httpx2's errors."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._token = ""
        self.url = url

    async def create(self, **fields: object) -> Contact:
        """Make a contact; the fields are the API's lists."""
        made: Contact = await self._ask("POST", "people:createContact", {"personFields": _FIELDS}, fields)
        return made

    async def change(self, contact: Contact, **fields: object) -> Contact:
        """Replace fields of a contact as it was read."""
        params = {"updatePersonFields": ",".join(fields), "personFields": _FIELDS}
        person = {"metadata": contact["metadata"], **fields}
        changed: Contact = await self._ask("PATCH", f"{contact['resourceName']}:updateContact", params, person)
        return changed

    async def delete(self, contact: Contact) -> None:
        """Put a contact in the trash."""
        await self._ask("DELETE", f"{contact['resourceName']}:deleteContact", {})

    async def with_email(self, email: str) -> list[Contact]:
        """Read the contacts with this e-mail address."""
        return [each for each in await self.all() if any(row["value"] == email for row in each["emailAddresses"])]

    async def all(self) -> list[Contact]:
        """Read all contacts that have an e-mail address."""
        found: list[Contact] = []
        params = {"personFields": _FIELDS, "pageSize": "1000"}
        while True:
            page = await self._ask("GET", "people/me/connections", params)
            found += page.get("connections", [])
            if not page.get("nextPageToken"):
                return [each for each in found if each.get("emailAddresses")]
            params["pageToken"] = page["nextPageToken"]

    async def token(self) -> str:
        """An access token, good for an hour."""
        answer = await self._http.post(f"{self.url}/token", data={"grant_type": "refresh_token", **OFFICE})
        return str(answer.raise_for_status().json()["access_token"])

    async def _ask(self, method: str, path: str, params: Mapping[str, str], body: object = None) -> Any:
        self._token = self._token or await self.token()
        answer = await self._send(method, path, params, body)
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            self._token = await self.token()
            answer = await self._send(method, path, params, body)
        return answer.raise_for_status().json()

    async def _send(self, method: str, path: str, params: Mapping[str, str], body: object) -> httpx2.Response:
        headers = {"authorization": f"Bearer {self._token}"}
        return await self._http.request(method, f"{self.url}/v1/{path}", params=params, json=body, headers=headers)


def value(contact: Contact, field: str, part: str = "value") -> str:
    """A part of the first value of a field, or nothing."""
    values: list[Contact] = contact.get(field, [])
    return str(values[0].get(part, "")) if values else ""
