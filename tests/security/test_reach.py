"""Nothing is sent to this machine, the network behind it or a metadata service because a name leads there."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import httpx2
import pytest

from services.runtime.http import client, fetch
from services.runtime.reach import Address, GuardedTransport, OutOfReach, Reach, networks, resolved
from services.runtime.settings import SettingsError, load

PUBLIC, DEFAULT, OFFICE = Reach(()), Reach(), Reach(networks("10.1.0.0/16, 127.0.0.0/8, fd12::/16"))
NAME = "contacts.example.org"

FORBIDDEN_ALWAYS = (
    *("0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1"),
    *("::", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254"),
    *("2002:7f00:1::", "2002:808:808::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    *("::ffff:169.254.169.254", "::ffff:0.0.0.0", "64:ff9b::169.254.169.254", "::169.254.169.254"),
)
FORBIDDEN_TO_NAMES = (
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.127.255.254", "198.18.0.1", "192.0.2.1", "203.0.113.9", "198.51.100.7", "192.0.0.8"),
    *("::1", "fc00::1", "fd12:3456::1", "2001:db8::1", "64:ff9b:1::7f00:1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:192.168.0.9", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1"),
    *("::127.0.0.1", "::10.0.0.1"),
)
ALLOWED = ("1.1.1.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "11.0.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1")


def test_there_are_enough_cases() -> None:
    assert len({*FORBIDDEN_ALWAYS, *FORBIDDEN_TO_NAMES, *ALLOWED}) >= 60


@pytest.mark.parametrize("address", FORBIDDEN_ALWAYS)
def test_metadata_link_local_and_no_machines_address_are_never_connected_to(address: str) -> None:
    found = ip_address(address)
    everything = Reach(networks("1.0.0.0/8, 100.64.0.0/10, 168.0.0.0/8, fd00::/16, 2000::/4"))
    for reach in (PUBLIC, DEFAULT, OFFICE, everything):
        for host in (NAME, "nas", address):
            refusal = reach.refusal(host, found, plain=False)
            assert refusal is not None
            assert "ever sent" in refusal


@pytest.mark.parametrize("address", FORBIDDEN_TO_NAMES)
def test_a_public_name_leads_to_no_private_address(address: str) -> None:
    for reach in (PUBLIC, DEFAULT):
        for host in (NAME, "2130706433", "0x7f.1", "0177.0.0.1", "localhost.example.org", "nas.lan.example.org"):
            assert "CONTACTSYNC_ALLOW_NETWORKS" in str(reach.refusal(host, ip_address(address), plain=False))


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_connected_to_and_only_encrypted(address: str) -> None:
    for reach in (PUBLIC, DEFAULT, OFFICE):
        assert reach.refusal(NAME, ip_address(address), plain=False) is None
        assert "https://" in str(reach.refusal(NAME, ip_address(address), plain=True))


@pytest.mark.parametrize("host", ["localhost", "nas", "radicale", "nas.lan", "box.local.", "dav.internal", "10.0.0.7"])
def test_what_the_file_names_outright_is_meant(host: str) -> None:
    for address in ("127.0.0.1", "10.0.0.7", "192.168.0.2", "100.64.3.2", "fd12::1", "::1"):
        assert DEFAULT.refusal(host, ip_address(address), plain=True) is None
        assert PUBLIC.refusal(host, ip_address(address), plain=False) is not None
    assert DEFAULT.refusal(host, ip_address("198.18.0.1"), plain=False) is not None


def test_networks_that_are_set_are_the_only_private_ones() -> None:
    assert OFFICE.refusal(NAME, ip_address("10.1.2.3"), plain=True) is None
    assert OFFICE.refusal(NAME, ip_address("::ffff:10.1.2.3"), plain=True) is None
    assert OFFICE.refusal(NAME, ip_address("fd12::9"), plain=False) is None
    assert OFFICE.refusal("10.2.0.1", ip_address("10.2.0.1"), plain=False) is not None
    assert OFFICE.refusal("nas", ip_address("192.168.0.2"), plain=False) is not None


@pytest.mark.parametrize(
    "text", ["10.0.0.1/8", "all", "10.0.0.0/33", "169.254.0.0/16", "169.254.169.254/32", "fe80::/64"]
)
def test_a_network_that_makes_no_sense_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_ALLOW_NETWORKS", text)
    with pytest.raises(SettingsError, match="CONTACTSYNC_ALLOW_NETWORKS: "):
        load()


def test_the_setting_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACTSYNC_ALLOW_NETWORKS", "10.1.0.0/16 , fd12::/16")
    reach = load().reach
    assert reach.refusal(NAME, ip_address("10.1.2.3"), plain=False) is None
    monkeypatch.setenv("CONTACTSYNC_ALLOW_NETWORKS", "none")
    assert load().reach.refusal("localhost", ip_address("127.0.0.1"), plain=False) is not None
    monkeypatch.delenv("CONTACTSYNC_ALLOW_NETWORKS")
    assert load().reach.refusal("localhost", ip_address("127.0.0.1"), plain=False) is None


class Server:
    """Answers every request, and counts who connected."""

    def __init__(self) -> None:
        self.connected = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                await writer.drain()
                break
        writer.close()


@contextlib.asynccontextmanager
async def listening(address: str, port: int = 0) -> AsyncIterator[tuple[Server, int]]:
    made = Server()
    server = await asyncio.start_server(made.serve, address, port)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_a_name_that_turns_to_another_address_between_looking_and_connecting_reaches_nothing() -> None:
    asked = itertools.count()

    async def rebinding(host: str, port: int) -> list[Address]:
        # Good once, then bad, then both: whoever resolved twice would get past the check.
        return [[ip_address("127.0.0.2")], [ip_address("127.0.0.1")], [ip_address(f"127.0.0.{n}") for n in (2, 1)]][
            next(asked) % 3
        ]

    async with listening("127.0.0.2") as (good, port), listening("127.0.0.1", port) as (forbidden, _):
        transport = GuardedTransport(
            Reach(networks("127.0.0.2/32")), limits=httpx2.Limits(max_connections=4), resolve=rebinding
        )
        answered, refused = 0, 0
        async with client(transport=transport) as http:
            for _ in range(150):
                try:
                    answered += (await http.get(f"http://rebinding.example.org:{port}/")).text == "ok"
                except OutOfReach as error:
                    refused += 1
                    assert "CONTACTSYNC_ALLOW_NETWORKS" in str(error)  # noqa: PT017 - each of many
    assert (answered, refused, good.connected, forbidden.connected) == (50, 100, 50, 0)


@pytest.mark.parametrize("environ", [{}, {"NO_PROXY": "127.0.0.1,localhost", "HTTP_PROXY": "http://127.0.0.1:9"}])
async def test_the_client_is_guarded_whatever_the_environment_says(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    async with listening("127.0.0.1") as (server, port):
        async with client(reach=PUBLIC) as http:
            hosts = ["127.0.0.1", *([] if environ else ["[::ffff:127.0.0.1]", "2130706433", "0x7f.0.0.1"])]
            for scheme, host in itertools.product(("http", "https"), hosts):
                with pytest.raises(OutOfReach):
                    await http.get(f"{scheme}://{host}:{port}/")
        assert server.connected == 0
        async with client() as http:
            assert (await fetch(http, http.build_request("GET", f"http://127.0.0.1:{port}/"))).text == "ok"
            assert (await http.get(f"http://localhost:{port}/")).text == "ok"
        assert server.connected == 2


async def test_an_address_that_does_not_answer_gives_way_to_the_next() -> None:
    async def both(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.3"), ip_address("127.0.0.1")]

    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    async with listening("127.0.0.1") as (server, port):
        transport = GuardedTransport(Reach(networks("127.0.0.0/8")), limits=httpx2.Limits(), resolve=both)
        async with client(transport=transport) as http:
            assert (await http.get(f"http://two.example.org:{port}/")).text == "ok"
            with pytest.raises(httpx2.ConnectError) as refused:
                await http.get(f"http://two.example.org:{closed}/")
            assert not isinstance(refused.value, OutOfReach)
    assert server.connected == 1


async def test_a_name_that_does_not_exist_is_a_failed_connection() -> None:
    async with client() as http:
        with pytest.raises(httpx2.ConnectError, match="can't be resolved"):
            await http.get("http://nobody.invalid/")
    assert [str(each) for each in await resolved("127.0.0.1", 80)] == ["127.0.0.1"]
