"""Servers unlike the sandbox, played by a scripted one: truncation, lost tokens, odd or hostile answers."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest

from services.connectors.carddav.app import CardDav
from services.contracts.app import CursorLost, Gone, Page, Seen, Trouble
from services.contracts.receipts import Refused, Written
from services.runtime.app import Absence, Access, Undecided
from services.runtime.clock import SystemClock
from services.runtime.http import client
from tests.connectors.carddav_rig import ADA, FIRST, LINK, card, changed, create, deleted, update

BOOK = "/dav/ada/book/"
Answers = Callable[[httpx2.Request], httpx2.Response | None]
PASSWORD = "a very secret password"


def multistatus(*rows: str, token: str = "") -> httpx2.Response:
    end = f"<D:sync-token>{token}</D:sync-token>" if token else ""
    text = (
        f'<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav">{"".join(rows)}{end}</D:multistatus>'
    )
    return httpx2.Response(207, text=text)


def status(href: str, code: int) -> str:
    return f"<D:response><D:href>{href}</D:href><D:status>HTTP/1.1 {code} X</D:status></D:response>"


def found(href: str, text: str = "", etag: str = "e1", kind: str = "") -> str:
    return (
        f'<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:getetag>"{etag}"</D:getetag>'
        f"<D:resourcetype>{kind}</D:resourcetype>"
        f"{f'<C:address-data>{text}</C:address-data>' if text else ''}</D:prop>"
        "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )


A_BOOK = multistatus(found(BOOK, kind="<D:collection/><C:addressbook/>"))


class Server:
    """Answers as told; says that it is an address book if not told otherwise."""

    def __init__(self, answers: Answers) -> None:
        self.app = CardDav()
        self.requests: list[httpx2.Request] = []
        self._answers = answers

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self._answers(request)
        if answer is not None:
            return answer
        return httpx2.Response(207, content=A_BOOK.content) if request.method == "PROPFIND" else httpx2.Response(500)

    @asynccontextmanager
    async def access(self, url: str = f"https://dav.example{BOOK}") -> AsyncIterator[Access]:
        async with client(transport=httpx2.MockTransport(self.answer)) as http:
            yield Access(
                account="office",
                settings={"url": url, "username": "ada"},
                credentials={"password": (PASSWORD,)},
                http=http,
                clock=SystemClock(),
            )

    async def scan(
        self, cursor: str | None = None, url: str = f"https://dav.example{BOOK}"
    ) -> Page | CursorLost | Trouble:
        async with self.access(url) as access:
            return await self.app.scan(access, cursor)

    async def poll(self, token: str) -> Page | CursorLost | Trouble:
        async with self.access() as access:
            return await self.app.poll(access, msgspec.json.encode({"book": BOOK, "token": token}).decode())


def report(request: httpx2.Request, kind: str) -> bool:
    return request.method == "REPORT" and kind.encode() in request.content


async def test_a_truncated_report_goes_on_with_its_token() -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if report(request, "sync-collection"):
            if b"t1" in request.content:
                return multistatus(found(BOOK + "b.vcf"), status(BOOK + "gone.vcf", 404), token="t2")
            return multistatus(found(f"https://dav.example{BOOK}a%2Evcf"), status(BOOK, 507), token="t1")
        if report(request, "addressbook-multiget"):
            name = "a" if b"a.vcf" in request.content else "b"
            return multistatus(found(f"{BOOK}{name}.vcf", card(name)))
        return None

    server = Server(answers)
    first = await server.scan()
    assert isinstance(first, Page)
    assert (first.more, set(changed(first.readings))) == (True, {BOOK + "a.vcf"})
    second = await server.scan(first.cursor)
    assert isinstance(second, Page)
    assert (second.more, set(changed(second.readings))) == (False, {BOOK + "b.vcf"})
    assert deleted(second.readings) == {BOOK + "gone.vcf"}


@pytest.mark.parametrize("code", [403, 409, 412])
async def test_a_refused_token_loses_the_cursor(code: int) -> None:
    error = '<D:error xmlns:D="DAV:"><D:valid-sync-token/></D:error>'
    server = Server(lambda r: httpx2.Response(code, text=error) if r.method == "REPORT" else None)
    assert isinstance(await server.poll("old"), CursorLost)
    assert isinstance(
        await Server(lambda r: httpx2.Response(410) if r.method == "REPORT" else None).poll("old"), CursorLost
    )


@pytest.mark.parametrize("code", [200, 400, 403, 405, 501])
async def test_a_server_without_a_change_feed_is_named(code: int) -> None:
    answer = await Server(lambda r: httpx2.Response(code, text="<p>no") if r.method == "REPORT" else None).poll("t")
    assert isinstance(answer, Trouble)
    assert answer.key == "no_change_feed"
    assert "RFC 6578" in answer.detail


@pytest.mark.parametrize(("code", "after"), [(401, None), (429, 7.0), (503, 7.0)])
async def test_other_failures_keep_their_status_and_pause(code: int, after: float | None) -> None:
    headers = {"retry-after": "7"} if after else {}
    answer = await Server(lambda r: httpx2.Response(code, headers=headers) if r.method == "REPORT" else None).poll("t")
    assert isinstance(answer, Trouble)
    assert (answer.key, answer.retry_after) == (code, after)
    assert PASSWORD not in answer.detail


async def test_a_card_that_the_multiget_leaves_out_is_read_by_itself() -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if report(request, "sync-collection"):
            return multistatus(found(BOOK + "a.vcf"), found(BOOK + "sub/", kind="<D:collection/>"), token="t1")
        if report(request, "multiget"):
            return multistatus(status(BOOK + "other.vcf", 404), "<D:response/>")
        return httpx2.Response(200, text=card("a"), headers={"etag": '"e"'}) if request.method == "GET" else None

    page = await Server(answers).scan()
    assert isinstance(page, Page)
    assert set(changed(page.readings)) == {BOOK + "a.vcf"}


async def test_cards_too_large_together_are_read_apart_and_one_too_large_alone_is_left_out() -> None:
    names = [f"{n}.vcf" for n in range(4)]

    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if report(request, "sync-collection"):
            return multistatus(*(found(BOOK + name) for name in names), token="t1")
        if report(request, "multiget"):
            asked = [name for name in names if name.encode() in request.content]
            size = 17 if "3.vcf" in asked else 5  # MiB, where 16 are read at most
            text = card("u").replace("X-CUSTOM", f"PHOTO:{'A' * size * 1024 * 1024}\r\nX-CUSTOM")
            return multistatus(*(found(BOOK + name, text) for name in asked))
        return None

    page = await Server(answers).scan()
    assert isinstance(page, Page)
    assert set(changed(page.readings)) == {BOOK + name for name in names[:3]}


async def test_a_card_that_the_server_refuses_stops_no_other() -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if report(request, "sync-collection"):
            return multistatus(found(BOOK + "a.vcf"), found(BOOK + "b.vcf"), token="t1")
        if report(request, "multiget"):
            return multistatus(found(BOOK + "a.vcf", card("a")), status(BOOK + "b.vcf", 403))
        return httpx2.Response(403) if request.method == "GET" else None

    page = await Server(answers).scan()
    assert isinstance(page, Page)
    assert set(changed(page.readings)) == {BOOK + "a.vcf"}


async def test_a_redirect_takes_the_password_to_no_other_server() -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        return httpx2.Response(301, headers={"location": "https://evil.example/dav/"})

    server = Server(answers)
    answer = await server.scan(url="https://dav.example")
    assert isinstance(answer, Trouble)
    assert {request.url.host for request in server.requests} == {"dav.example"}
    for href in ("//evil.example/x/", "https://dav.example//evil.example/x/", "https://evil.example/x/"):
        principal = f"<D:current-user-principal><D:href>{href}</D:href></D:current-user-principal>"
        row = f"<D:response><D:href>/</D:href><D:propstat><D:prop>{principal}</D:prop></D:propstat></D:response>"
        leading = Server(lambda _, row=row: multistatus(row))  # type: ignore[misc]
        assert isinstance(await leading.scan(url="https://dav.example"), Trouble)
        assert {request.url.host for request in leading.requests} == {"dav.example"}
    moved = Server(lambda r: httpx2.Response(302, headers={"location": BOOK}) if r.method != "PROPFIND" else None)
    assert isinstance(await moved.scan(), Trouble)


async def test_a_put_that_names_no_strong_etag_is_read_back() -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "PUT":
            return httpx2.Response(201, headers={"etag": 'W/"w"', "location": BOOK + "named-by-server"})
        if request.method == "GET":
            return httpx2.Response(200, text=card(LINK, "rewritten@x.example"), headers={"etag": '"strong"'})
        return None

    server = Server(answers)
    async with server.access() as access:
        made = await server.app.write(access, create(ADA), FIRST)
        assert isinstance(made, Written)
        assert made.contact_id == BOOK + "named-by-server"
        assert made.seen is not None
        assert made.seen.contact.guard == '"strong"'
        assert made.seen.contact.fields["email"] == ("rewritten@x.example",)
    assert server.requests[-2].headers["if-none-match"] == "*"


async def test_p14_a_guard_that_fails_on_an_unchanged_card_is_a_refusal() -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "PUT":
            return httpx2.Response(412)
        return httpx2.Response(200, text=card("a"), headers={"etag": '"e"'}) if request.method == "GET" else None

    server = Server(answers)
    async with server.access() as access:
        seen = await server.app.look(access, BOOK + "a.vcf")
        assert isinstance(seen, Seen)
        refused = await server.app.write(access, update(seen, {"note": ("x",)}), FIRST)
        assert isinstance(refused, Refused)
        assert not refused.gone
    assert [request.method for request in server.requests].count("PUT") == 1
    assert {request.method for request in server.requests} <= {"PROPFIND", "GET", "PUT"}  # never DELETE


@pytest.mark.parametrize(
    ("code", "kind"), [(403, Undecided), (400, Undecided), (500, Trouble), (401, Trouble), (404, Absence)]
)
async def test_p4_a_refused_reading_proves_nothing_about_a_write(code: int, kind: type) -> None:
    server = Server(lambda r: httpx2.Response(code) if r.method == "GET" else None)
    if code == 404:
        server = Server(
            lambda r: (
                httpx2.Response(404) if r.method == "GET" else httpx2.Response(405) if r.method == "REPORT" else None
            )
        )
    async with server.access() as access:
        assert isinstance(await server.app.settle(access, create(ADA), FIRST), kind)


async def test_a_card_that_became_unreadable_is_not_written() -> None:
    broken = Server(
        lambda r: (
            httpx2.Response(200, text="BEGIN:VCARD")
            if r.method == "GET"
            else httpx2.Response(412)
            if r.method == "PUT"
            else None
        )
    )
    readable = Server(
        lambda r: httpx2.Response(200, text=card("a"), headers={"etag": '"e"'}) if r.method == "GET" else None
    )
    async with readable.access() as access:
        seen = await readable.app.look(access, BOOK + "a.vcf")
        assert isinstance(seen, Seen)
        command = update(seen, {"note": ("x",)})
    async with broken.access() as access:
        answer = await broken.app.write(access, command, FIRST)
        assert isinstance(answer, Trouble)
        assert answer.key == "unreadable_card"
        assert isinstance(await broken.app.settle(access, command, FIRST), Undecided)


@pytest.mark.parametrize(
    "error",
    [httpx2.ReadTimeout("x"), httpx2.WriteError("x"), httpx2.RemoteProtocolError("x"), httpx2.ConnectTimeout("x")],
)
async def test_transport_failures_say_whether_the_request_can_have_arrived(error: httpx2.TransportError) -> None:
    def answers(request: httpx2.Request) -> httpx2.Response | None:
        if request.method == "PUT":
            raise error
        return None

    server = Server(answers)
    async with server.access() as access:
        answer = await server.app.write(access, create(ADA), FIRST)
        assert isinstance(answer, Trouble)
        assert answer.key == ("not_sent" if isinstance(error, httpx2.ConnectTimeout) else "unanswered")


async def test_a_card_that_answers_410_is_gone() -> None:
    server = Server(lambda r: httpx2.Response(410) if r.method == "GET" else None)
    async with server.access() as access:
        assert isinstance(await server.app.look(access, BOOK + "a.vcf"), Gone)
