"""What the conformance suite works on: an app's sandbox as a bench, and the laboratory around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import httpx2

from services.contracts.app import Ability, Delivery, Manifest, Page, Reading, Seen, Trouble
from services.contracts.commands import Aim, Create, Update, Version, Write
from services.contracts.contact import Address, Fields, PersonName, Value
from services.contracts.envelope import derived
from services.contracts.receipts import Refused, Stale, Unchanged, Written
from services.runtime.app import Access, App, Attempt
from services.runtime.clock import Clock

ACCOUNT = "conformance"
_PAGES = 50
T = TypeVar("T")


class Bench(Protocol):
    """An app's sandbox as the suite uses it: what the app needs, and what a person does in the app."""

    app: App
    clock: Clock
    settings: Mapping[str, str]
    credentials: Mapping[str, tuple[str, ...]]
    transport: httpx2.AsyncBaseTransport
    """How requests get to the sandbox."""
    nobody: str
    """A contact id of the app's form that no contact has."""
    lost_cursor: str | None
    """A cursor that the app no longer knows; None if its cursors are good for ever."""

    async def enrich(self, contact_id: str) -> None:
        """Give the contact something that the app's manifest doesn't know."""
        ...

    async def is_enriched(self, contact_id: str) -> bool:
        """Whether it still has that."""
        ...

    async def edit(self, contact_id: str, path: str, value: str) -> None:
        """Change a text field, as a person would."""
        ...

    async def remove(self, contact_id: str) -> None:
        """Delete the contact, as a person would."""
        ...

    async def settled(self) -> None:
        """Let as much time pass as the app needs to show everywhere what it has, and to prove what it hasn't."""
        ...

    def deliveries(self) -> Sequence[tuple[Delivery, Sequence[str], float]]:
        """Signed webhooks, each with the account's secrets and a time (unix seconds) at which it is fresh."""
        ...


class Faults(httpx2.AsyncBaseTransport):
    """Passes requests on, except the next one if a fault was ordered for it."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self._answer: httpx2.Response | None = None
        self._drop = False
        self.sent: list[httpx2.Request] = []

    def answer(self, status: int, **headers: str) -> None:
        """The next request is answered so, and doesn't arrive."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answer = httpx2.Response(status, headers=named)

    def drop(self) -> None:
        """The next request that changes anything arrives, and its answer is lost."""
        self._drop = True

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request."""
        self.sent.append(request)
        if (answer := self._answer) is not None:
            self._answer = None
            return answer
        response = await self._inner.handle_async_request(request)
        if self._drop and request.method in {"POST", "PUT", "PATCH", "DELETE"}:
            self._drop = False
            await response.aread()
            raise httpx2.ReadError("the answer was lost", request=request)
        return response


class InapplicableError(Exception):
    """The check says nothing about this app; the text says why."""


class Lab:
    """A bench under test."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.app = bench.app
        self.manifest: Manifest = bench.app.manifest
        self.faults = Faults(bench.transport)
        self.http = httpx2.AsyncClient(transport=self.faults, trust_env=False, timeout=10)
        self._links = 0

    def access(self, **credentials: str) -> Access:
        """The account, with other credentials for the keys given."""
        changed = {key: (value,) for key, value in credentials.items()}
        return Access(
            account=ACCOUNT,
            settings=self.bench.settings,
            credentials={**self.bench.credentials, **changed},
            http=self.http,
            clock=self.bench.clock,
        )

    def aim(self, *, new: bool = False) -> Aim:
        """An aim at the last link, or at a new one."""
        self._links += int(new)
        return Aim(
            link=derived("conformance", self._links),
            side="left",
            version=Version(1, 1),
            connection="pair",
            config_version=1,
            account=ACCOUNT,
        )

    async def write(
        self, command: Write, *, key: str = "", sent: int = 0
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        """One write, under a key of its own unless one is given."""
        first = round(self.bench.clock.now().timestamp() * 1_000_000) if sent else None
        attempt = Attempt(key=key or derived("key", command.aim.link, repr(command)), n=sent, first=first)
        return await self.app.write(self.access(), command, attempt)

    async def created(self, fields: Fields | None = None) -> str:
        """A contact of ours, by its id."""
        return must(await self.write(self.create(fields)), Written).contact_id

    def create(self, fields: Fields | None = None) -> Create:
        """A create of a new link."""
        aim = self.aim(new=True)
        fields = fields or sample(self.manifest, self._links)
        addresses = [value for value in fields.get(self.email, ()) if isinstance(value, str)]
        return Create(aim=aim, fields=fields, addresses=tuple(addresses))

    def update(self, seen: Seen, fields: Fields) -> Update:
        """An update decided on what was seen."""
        return Update(
            aim=self.aim(),
            contact_id=seen.contact_id,
            fields=fields,
            expected={path: seen.contact.fields.get(path, ()) for path in fields},
            guard=seen.contact.guard,
            object=seen.object,
        )

    async def seen(self, contact_id: str) -> Seen:
        """The contact as a look shows it."""
        return must(await self.app.look(self.access(), contact_id), Seen)

    @property
    def email(self) -> str:
        """The path of the e-mail field."""
        return next((field.path for field in self.manifest.fields if field.type == "email"), "")

    @property
    def text(self) -> str:
        """The path of a text field that may be empty."""
        fields = [f for f in self.manifest.fields if f.type == "text" and f.writable and not f.required]
        if not fields:
            raise InapplicableError("no text field that may be empty")
        return fields[-1].path

    async def scanned(self) -> tuple[list[Reading], str]:
        """All contacts, and where the change feed starts."""
        found: list[Reading] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = must(await self.app.scan(self.access(), cursor), Page)
            found += page.readings
            cursor = page.cursor
            if not page.more:
                return found, cursor
        raise AssertionError("the scan doesn't end")

    async def polled(self, cursor: str) -> tuple[list[Reading], str]:
        """What the feed has after the cursor, and where it goes on."""
        found: list[Reading] = []
        for _ in range(_PAGES):
            page = must(await self.app.poll(self.access(), cursor), Page)
            found += page.readings
            cursor = page.cursor
            if not page.more:
                return found, cursor
        raise AssertionError("the feed doesn't end")


def must(answer: object, kind: type[T]) -> T:
    """`answer`, which has to be of that kind."""
    if not isinstance(answer, kind):
        raise AssertionError(f"expected {kind.__name__}, got {answer!r}")  # noqa: TRY004 - a finding, not a bug
    return answer


Run = Callable[[Lab], Awaitable[None]]


class Check(NamedTuple):
    """One row of the suite."""

    name: str
    needs: frozenset[Ability]
    run: Run

    def __str__(self) -> str:
        return self.name


def sample(manifest: Manifest, number: int = 1) -> Fields:
    """A value for every writable field of an app."""
    values: Mapping[str, Value] = {
        "text": f"Zoë & Søn, Nº {number}",
        "email": f"zoe{number}@example.com",
        "phone": f"+3247012{number:04}",
        "name": PersonName(given="Zoë", family="Ågren", full="Zoë Ågren"),
        "address": Address(line1="1 Rue de l'Été", city="Liège", postal_code="4000", country="BE", state="Liège"),
    }
    return {field.path: (values[field.type],) for field in manifest.fields if field.writable}


async def run(check: Check, bench: Bench) -> str | None:
    """Run one check: None if it passed, the reason if it doesn't apply. What it finds wrong is an AssertionError."""
    if lacking := sorted(ability.value for ability in check.needs - bench.app.manifest.abilities):
        return f"{bench.app.manifest.title} lacks {', '.join(lacking)}"
    lab = Lab(bench)
    try:
        await check.run(lab)
    except InapplicableError as reason:
        return str(reason)
    finally:
        await lab.http.aclose()
    return None
