"""Listening sockets, as a server that answers at once wants them."""

import socket
from collections.abc import Iterable


def undelayed(listeners: Iterable[socket.socket]) -> None:
    """Have every connection that these TCP sockets accept send what it has at once (TCP_NODELAY).

    uvicorn writes an answer in two pieces, its head and its body. Otherwise the second one waits until the first is
    acknowledged, which a client does 40 ms later on a connection that it has kept for a while (delayed ACK, tcp(7)).
    asyncio sets it itself only where a socket's `proto` names TCP, and `socket.create_server` leaves it at 0; Linux
    and BSD have accepted sockets inherit it.
    """
    for listener in listeners:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
