"""`contactsync demo`, as people start it: twice, twice at once, and killed in the midst."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.contracts.app import Trouble
from services.contracts.receipts import Written
from services.demo.book import Book, Card
from services.demo.burst import burst
from services.demo.figures import percentile
from services.demo.google import QuickGoogle
from services.demo.office import Contact, Office, value
from services.demo.play import Demo
from services.demo.servers import book_server, office_server, stripe_server
from services.demo.shop import Customer, Shop
from services.demo.story import STEPS, TRASH
from services.runtime.app import Absence
from services.runtime.settings import Settings
from tests.connectors import google_rig

ROOT = Path(__file__).parents[2]
ALL = f"demo: {len(STEPS)} of {len(STEPS)} steps in step"


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder that PostgreSQL's user may pass through; nothing may be running on it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="contactsync-demo-"))
    folder.chmod(0o755)
    try:
        yield folder
        assert processes(folder) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    with data_folder() as made:
        yield made


@pytest.fixture
def other_folder() -> Iterator[Path]:
    with data_folder() as made:
        yield made


def start(folder: Path, *arguments: str, program: str = "") -> "subprocess.Popen[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
    environ |= {"CONTACTSYNC_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, *(("-c", program) if program else ("-m", "services.cli", "demo", *arguments))],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]", seconds: float = 60) -> str:
    """What it printed; it has `seconds` to end by itself."""
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        pytest.fail(f"the demo didn't end within {seconds} s; it printed:\n{printed}")
    return printed


def processes(folder: Path) -> list[str]:
    """The command lines of live processes that name the folder, or work in it."""
    if sys.platform != "linux":
        pytest.skip("processes are found by /proc")
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in words or (entry / "cwd").readlink().is_relative_to(folder):
                found.append(words)
    return found


async def in_step_twice(folder: Path) -> None:
    for run in (1, 2):
        process = start(folder, "--exit")
        printed = await asyncio.to_thread(ended, process)
        assert process.returncode == 0, printed
        assert f"Run {run} on " in printed
        assert ALL in printed.splitlines()
        assert processes(folder) == []


async def test_f1_a_demo_plays_twice_and_after_its_story_a_minute_and_a_full_rescan_add_no_write(
    folder: Path, other_folder: Path
) -> None:
    demo = Demo(Settings(data_dir=folder))
    playing = asyncio.create_task(demo.play(exit_=False))
    try:
        over: list[asyncio.Future[Any]] = [playing, demo.scene]
        await asyncio.wait(over, timeout=90, return_when=asyncio.FIRST_COMPLETED)
        assert not playing.done(), playing.exception()
        assert demo.failures == 0
        scene = demo.scene.result()
        written = scene.writes()

        other = start(folder, "--exit")
        sentence = await asyncio.to_thread(ended, other)
        assert other.returncode == 1
        assert sentence.startswith("contactsync already runs on ")
        assert len(sentence.splitlines()) == 1

        # The promise is about this minute. It is used: a demo beside it, on a folder of its own, is played twice.
        await asyncio.gather(asyncio.sleep(60), in_step_twice(other_folder))
        assert scene.writes() == written

        asked = len(scene.to_shop.exchanges), len(scene.to_book.exchanges), len(scene.to_office.exchanges)
        await scene.house.scan_again()
        await scene.house.ready()
        assert any(each.path.startswith("/v1/customers?") for each in scene.to_shop.exchanges[asked[0] :])
        assert any(each.method == "REPORT" for each in scene.to_book.exchanges[asked[1] :])
        lists = [each.path for each in scene.to_office.exchanges[asked[2] :] if "/connections?" in each.path]
        assert any("syncToken" not in path for path in lists)
        assert scene.writes() == written
    finally:
        playing.cancel()
        await asyncio.wait({playing})


async def test_every_change_of_a_burst_arrives_and_is_measured() -> None:
    took = await burst(Settings(), 40)
    assert took.changes == 40
    assert 0 < took.median <= took.p99 <= took.maximum <= took.seconds * 1000


async def test_without_the_other_servers_the_demo_says_in_one_sentence_how_to_get_them(folder: Path) -> None:
    # What a plain installation has: None in sys.modules is how Python says that a module isn't there.
    program = "import sys; sys.modules['localstripe'] = None; from services.cli import main; sys.exit(main(['demo']))"
    process = start(folder, program=program)
    printed = await asyncio.to_thread(ended, process)
    assert process.returncode == 1
    assert printed.startswith("The demo plays with other people's servers, and localstripe is not installed here: ")
    assert "make demo" in printed
    assert len(printed.splitlines()) == 1


async def test_a_demo_that_is_stopped_leaves_no_process_behind(folder: Path, other_folder: Path) -> None:
    async def stopped(folder: Path, sign: signal.Signals) -> None:
        process = start(folder)
        printed = await until(process, "Run ")
        process.send_signal(sign)
        printed += await asyncio.to_thread(ended, process)
        assert process.returncode == 0, printed
        assert "Traceback" not in printed
        assert processes(folder) == []

    await asyncio.gather(stopped(folder, signal.SIGINT), stopped(other_folder, signal.SIGTERM))


MOMENTS = (
    "# The customers",
    "Run ",
    "event    shop",
    "written  office",
    " 3  ",
    "event    office",
    " 5  ",
    "a new customer",
    "held     ",
    "contact.deleted",
)
"""What a killed demo printed last, more or less."""


async def test_a_demo_that_is_killed_at_ten_moments_goes_on_and_makes_nothing_twice(folder: Path) -> None:
    for moment in MOMENTS:
        process = start(folder, "--exit")
        await until(process, moment)
        process.kill()
        process.communicate()
    last = start(folder, "--exit")
    printed = ended(last)
    assert last.returncode == 0, printed
    assert ALL in printed.splitlines()

    async with sides(folder / "demo") as (shop, book, office):
        customers = {email_of(customer): customer for customer in await shop.all()}
        cards = {card.value("EMAIL"): card for card in await book.all()}
        contacts = {value(contact, "emailAddresses"): contact for contact in await office.all()}
        assert len(customers) == len(await shop.all()), "two customers have one e-mail address"
        assert len(cards) == len(await book.all()), "two cards have one e-mail address"
        assert len(contacts) == len(await office.all()), "two contacts in Google have one e-mail address"
    runs = int(re.findall(r"^Run (\d+) on ", printed, re.MULTILINE)[0])
    assert runs >= len(MOMENTS) - 1, "hardly any run was killed in its story"
    assert {f"ada.{runs}@example.com", f"mary.{runs}@example.com"} < cards.keys()
    # Deleted in Google, and killed before it was there again: tagged, and everywhere else as it was.
    tagged = {email for email, one in customers.items() if TRASH in one["metadata"]}
    assert tagged <= {f"katherine.{n}@example.com" for n in range(1, runs)}
    assert tagged, "no run was killed between the deletion and the return"
    everybody = {email: told(one) for email, one in customers.items()}
    assert {email: told(one) for email, one in contacts.items()} == {
        email: one for email, one in everybody.items() if email not in tagged
    }
    # Held and never approved: Stripe and Google keep the old address, as they should.
    held = {f"rear.admiral.{n}@example.com": f"grace.{n}@example.com" for n in range(1, runs)}
    paired = {held[one] if one in held and held[one] in customers else one: told(card) for one, card in cards.items()}
    assert everybody == paired


async def test_the_story_is_told_on_kafka_and_goes_on_there_after_a_kill(kafka_here: None, folder: Path) -> None:
    process = start(folder, "--exit", "--kafka")
    await until(process, "written  office")
    process.kill()
    process.communicate()
    last = start(folder, "--exit", "--kafka")
    printed = await asyncio.to_thread(ended, last, 120)
    assert last.returncode == 0, printed
    assert ALL in printed.splitlines()
    assert processes(folder) == []


async def test_the_people_sandbox_goes_on_with_what_it_answered(folder: Path) -> None:
    fields = {"personFields": "names,emailAddresses,metadata", "requestSyncToken": "true"}

    async def listed(http: httpx2.AsyncClient, office: Office, **more: str) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {await office.token()}"}
        url = f"{office.url}/v1/people/me/connections"
        found: dict[str, Any] = (await http.get(url, params={**fields, **more}, headers=headers)).json()
        return found

    async with httpx2.AsyncClient(timeout=30, trust_env=False) as http:
        async with office_server(folder / "google", http) as (url, _):
            office = Office(http, url)
            kept, gone = [await office.create(emailAddresses=[{"value": f"{n}@example.com"}]) for n in ("ada", "alan")]
            await office.delete(gone)
            token = (await listed(http, office))["nextSyncToken"]
        async with office_server(folder / "google", http) as (url, _):
            office = Office(http, url)
            assert await office.all() == [kept]
            assert "connections" not in await listed(http, office, syncToken=token)
            changed = await office.change(kept, names=[{"givenName": "Ada"}])
            with pytest.raises(httpx2.HTTPStatusError):
                await office.change(kept, names=[{"givenName": "Augusta"}])
            found = await listed(http, office, syncToken=token)
            assert [row["etag"] for row in found["connections"]] == [changed["etag"]]


@pytest.mark.parametrize(("executed", "outcome"), [(True, Written), (False, Absence)])
async def test_p4_a_create_that_the_end_of_a_demo_cut_off_is_settled_at_once(executed: bool, outcome: type) -> None:
    async with google_rig.Office() as office:
        office.app = QuickGoogle()
        office.box.faults.drop("POST", executed=executed)
        google_rig.must(await office.write(google_rig.create()), Trouble)
        google_rig.must(await office.settle(google_rig.create(), office.micros()), outcome)
        assert len(office.box.hand.everybody()) == executed


async def until(process: "subprocess.Popen[str]", words: str, seconds: float = 60) -> str:
    """Read what the demo prints until a line has the words."""
    assert process.stdout is not None
    printed = ""
    async with asyncio.timeout(seconds):
        while line := await asyncio.to_thread(process.stdout.readline):
            printed += line
            if words in line:
                return printed
    process.communicate()
    return pytest.fail(f"the demo ended before it printed {words!r}:\n{printed}")


@contextlib.asynccontextmanager
async def sides(folder: Path) -> AsyncIterator[tuple[Shop, Book, Office]]:
    """The three other servers alone, on the demo's data."""
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as http,
        stripe_server(folder / "localstripe", http) as (shop, _),
        book_server(folder / "radicale", http) as (book, _),
        office_server(folder / "google", http) as (office, _),
    ):
        yield Shop(http, shop), Book(http, book), Office(http, office)


def email_of(customer: Customer) -> str:
    return str(customer["email"])


def told(one: Customer | Card | Contact) -> tuple[str, str]:
    if isinstance(one, Card):
        name, phone = one.value("FN"), one.value("TEL")
    elif "resourceName" in one:
        name, phone = value(one, "names", "displayName"), value(one, "phoneNumbers")
    else:
        name, phone = str(one["name"]), str(one["phone"] or "")
    return name, re.sub(r"\D", "", phone)


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, value: float) -> None:
    assert percentile([float(n) for n in reversed(range(1, 101))], share) == value
