"""Labels: the account's own contact groups, by resource name and by name."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.connectors.google_contacts.client import Answer, Client, Failure
from services.contracts.app import Trouble

FRESH = 600.0
"""Seconds after which the names are read again: renaming a label isn't a change of its contacts."""
_OWN = "USER_CONTACT_GROUP"
_PAGES = 50


class _Group(msgspec.Struct, frozen=True, rename="camel"):
    resource_name: str = ""
    group_type: str = ""
    name: str = ""


class _Groups(msgspec.Struct, frozen=True, rename="camel"):
    contact_groups: tuple[_Group, ...] = ()
    next_page_token: str = ""


class Labels:
    """The labels of all accounts, as last read. Groups of the system (myContacts, starred) are none."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[dict[str, str], float]] = {}

    async def naming(self, client: Client, groups: Iterable[str]) -> Mapping[str, str] | Trouble:
        """Return resource name -> label, with "" for what is no label; read anew if one of `groups` is unknown."""
        wanted = set(groups)
        names, until = self._known.get(_key(client), ({}, 0.0))
        if wanted <= names.keys() and client.access.clock.monotonic() < until:
            return names
        read = await self._read(client)
        if isinstance(read, Trouble):
            return read
        # A group that isn't listed any more has no name; remembering that keeps it from being asked for again.
        read.update(dict.fromkeys(wanted - read.keys(), ""))
        return read

    async def resource(self, client: Client, label: str) -> str | Trouble | None:
        """Return the resource name of a label, None if the account has none of that name."""
        names, _ = self._known.get(_key(client), ({}, 0.0))
        found = _named(names, label)
        if found is not None:
            return found
        read = await self._read(client)
        return read if isinstance(read, Trouble) else _named(read, label)

    async def create(self, client: Client, label: str) -> str | Trouble | None:
        """Make a label and return its resource name; None where Google keeps that name for itself."""
        answer = await client.ask("POST", "contactGroups", {}, {"contactGroup": {"name": label}})
        match answer:
            case Answer():
                made = answer.decoded(_Group)
                if isinstance(made, Trouble):
                    return made
                self.forget(client)
                return made.resource_name or None
            case Failure() if answer.problem.code == 409:
                # Made by somebody else meanwhile, or by a request of ours whose answer was lost.
                self.forget(client)
                return await self.resource(client, label)
            case Failure():
                return answer.trouble()
            case Trouble():
                return answer

    def forget(self, client: Client) -> None:
        """Have the labels read anew: one of them isn't what it was."""
        self._known.pop(_key(client), None)

    async def _read(self, client: Client) -> dict[str, str] | Trouble:
        names: dict[str, str] = {}
        token = ""
        for _ in range(_PAGES):
            params: dict[str, Any] = {"pageSize": "1000", "groupFields": "groupType,name"}
            answer = await client.get("contactGroups", {**params, **({"pageToken": token} if token else {})})
            if isinstance(answer, Failure):
                return answer.trouble()
            page = answer if isinstance(answer, Trouble) else answer.decoded(_Groups)
            if isinstance(page, Trouble):
                return page
            for group in page.contact_groups:
                names[group.resource_name] = group.name.strip() if group.group_type == _OWN else ""
            token = page.next_page_token
            if not token:
                break
        self._known[_key(client)] = (names, client.access.clock.monotonic() + FRESH)
        return names


def _named(names: Mapping[str, str], label: str) -> str | None:
    return next((resource for resource, name in names.items() if name and name == label.strip()), None)


def _key(client: Client) -> tuple[str, ...]:
    access = client.access
    return (access.account, access.settings.get("api_base", ""), *access.credentials.get("refresh_token", ()))
