"""Where requests may go: addresses are judged after the name was resolved, and the judged address is connected to.

An account's server is named by whoever writes the connections file, but what its name leads to is decided by whoever
runs that name: it may be pointed at this machine, at the network behind it, or at a cloud's metadata service, between
two requests too. Ranges: https://www.iana.org/assignments/iana-ipv4-special-registry and its IPv6 sibling.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import httpcore2
import httpx2
import structlog

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[Address]]]
"""(host, port) -> every address of it, in the order to try them. Raises httpcore2's `ConnectError`."""

NONE = "none"
"""The setting's word for: no network but the public one."""

_NEVER = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
            *("::/128", "fe80::/10", "fec0::/10", "ff00::/8"),
            # Clouds' metadata services outside of the link-local range: Alibaba, Azure, Oracle, AWS, Google.
            *("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128"),
            # Tunnels that hold somebody's address inside: 6to4, its relays, and Teredo, all given up (RFC 7526).
            *("2002::/16", "192.88.99.0/24", "2001::/32"),
        ),
    )
)
_INNER = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7"),
    )
)
"""This machine, private networks, and the range between carriers and their customers, that private overlays use."""
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_SPECIAL = (ip_network("64:ff9b:1::/48"), ip_network("192.0.0.0/24"))  # RFC 8215, RFC 6890: not for the world
_COMPATIBLE = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
"""An IPv4 address in the old spellings that resolvers still take."""
_PATIENCE = 1.0
"""Seconds for each address of a name but the last: one kind of addresses may lead nowhere from here."""
_LOCAL = (".localhost", ".local", ".lan", ".internal", ".intranet", ".home.arpa", ".home")
"""Endings that no public name has (RFC 6761, RFC 6762, RFC 8375, and names that ICANN keeps back)."""


class OutOfReach(httpx2.ConnectError):
    """A request would have gone where none may go, and wasn't sent. The text is for a person."""


class _OutOfReachError(httpcore2.ConnectError):
    """The same, below httpx2."""


class Reach:
    """What may be connected to.

    `networks` are those beside the public one. None: this machine and private networks, but only for a host that is
    such an address itself or has a local name (`nas`, `nas.lan`): what a public name leads to isn't theirs to decide.
    """

    def __init__(self, networks: Sequence[Network] | None = None) -> None:
        self._networks = networks

    def refusal(self, host: str, address: Address, *, plain: bool) -> str | None:
        """Why `address`, which `host` leads to, isn't connected to, as a sentence; None if it may be.

        `plain`: without encryption, which is for this machine and for networks that were allowed.
        """
        judged = _inner(address)
        if any(judged in network for network in _NEVER):
            return f"{host} leads to {judged}, where nothing is ever sent: link-local, metadata, or no single machine."
        allowed = self._networks is not None and any(judged in network for network in self._networks)
        if not allowed and self._networks is None and _named(host):
            allowed = any(judged in network for network in _INNER)
        if allowed:
            return None
        if not judged.is_global or any(judged in network for network in _SPECIAL):
            return (
                f"{host} leads to {judged}, inside a private network. If that is meant, put the network into "
                "CONTACTSYNC_ALLOW_NETWORKS."
            )
        if plain:
            return f"{host} would be spoken to without encryption: write https://."
        return None


def networks(text: str) -> tuple[Network, ...]:
    """Read `127.0.0.0/8, fd00::/8`, or `none`. Raises `ValueError` with a sentence."""
    if text.strip().lower() == NONE:
        return ()
    found: list[Network] = []
    for part in text.replace(",", " ").split():
        try:
            network = ip_network(part)
        except ValueError:
            raise ValueError("must be networks such as 192.168.0.0/16, with a comma between them, or none") from None
        if any(network.version == never.version and network.subnet_of(never) for never in _NEVER):  # type: ignore[arg-type]
            raise ValueError(f"holds {network}, which is never connected to")
        found.append(network)
    return tuple(found)


def _inner(address: Address) -> Address:
    """The address that packets end at, where an IPv6 address stands for an IPv4 one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    # A zone (`fe80::1%eth0`) changes nothing of what it is.
    return IPv6Address(int(address))


def _named(host: str) -> bool:
    """Whether a host says by itself that it is on this side: an address, a bare name, or a local ending."""
    with contextlib.suppress(ValueError):
        ip_address(host)
        return True
    name = host.rstrip(".").lower()
    return name.endswith(_LOCAL) or ("." not in name and not _NUMBER.fullmatch(name))


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that a `Reach` allows: resolved once, judged, and connected to by number.

    TLS goes on to check the certificate against the name. `plain` as in `Reach.refusal`.
    """

    def __init__(self, reach: Reach, *, plain: bool, resolve: Resolve) -> None:
        self._reach = reach
        self._plain = plain
        self._resolve = resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect. Raises httpcore2's errors."""
        failure: Exception = httpcore2.ConnectError("the name leads nowhere")
        try:
            async with asyncio.timeout(timeout):
                # One that isn't allowed spoils the whole answer: nobody means a mixture.
                addresses = await self._judged(host, port)
                for address in addresses:
                    patience = None if address == addresses[-1] else _PATIENCE
                    try:
                        return await self._network.connect_tcp(address, port, patience, local_address, socket_options)
                    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                        failure = error
        except TimeoutError:
            raise httpcore2.ConnectTimeout("no connection in time") from None
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)

    async def _judged(self, host: str, port: int) -> list[str]:
        found = await self._resolve(host, port)
        for address in found:
            if (refusal := self._reach.refusal(host, address, plain=self._plain)) is not None:
                raise _OutOfReachError(refusal)
        return list(dict.fromkeys(map(str, found)))


async def resolved(host: str, port: int) -> list[Address]:
    """Every address of a name, in the system's order. Raises httpcore2's `ConnectError`."""
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"the name can't be resolved ({type(error).__name__})") from None
    return [ip_address(row[4][0]) for row in rows]


class GuardedTransport(httpx2.AsyncBaseTransport):
    """httpx2's own transport over guarded connections. Pools of encrypted and plain ones are apart."""

    def __init__(self, reach: Reach, *, limits: httpx2.Limits, resolve: Resolve | None = None) -> None:
        """`resolve`: what asks for a name's addresses; without it, the system."""
        trust, ask = httpx2.create_ssl_context(), resolve or resolved
        self._secure = _Guarded(GuardedNetwork(reach, plain=False, resolve=ask), trust, limits)
        self._plain = _Guarded(GuardedNetwork(reach, plain=True, resolve=ask), trust, limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request. Raises `OutOfReach`, and httpx2's transport errors."""
        transport = self._secure if request.url.scheme == "https" else self._plain
        try:
            return await transport.handle_async_request(request)
        except httpx2.ConnectError as error:
            if not isinstance(error.__cause__, _OutOfReachError):
                raise
            structlog.get_logger().warning("out_of_reach", host=request.url.host)
            raise OutOfReach(str(error), request=request) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._secure.aclose()
        await self._plain.aclose()


class _Guarded(httpx2.AsyncHTTPTransport):
    """The library's transport takes no network backend, though its pool does; tests hold that this one is used."""

    def __init__(self, network: GuardedNetwork, trust: ssl.SSLContext, limits: httpx2.Limits) -> None:
        super().__init__(verify=trust, limits=limits)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trust,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=network,
        )
