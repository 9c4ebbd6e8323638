"""Finds free TCP ports of this machine."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Collection

from celeriac.core.errors import ConfigurationError, ResourceBusy

#: Below every usual range of ephemeral ports. In that range, a client that connects while the server restarts can get
#: the server's port as its source port. It then connects to itself, and the server cannot start.
_LASTING_PORTS = range(20_000, 32_000)
_ATTEMPTS = 100


def is_free(host: str, port: int) -> bool:
    """Return whether a server can listen there now.

    Raises:
        ConfigurationError: `host` is not an address of this machine, or the port needs a privilege.
    """
    try:
        _bind(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return True


def claim(host: str, port: int, option: str, *, reserved: Collection[int] = ()) -> int:
    """Return the port to listen on: `port`, or a free one if it is 0. Never return one that is `reserved` for others.

    Raises:
        ResourceBusy: the port is in use. The message names `option`, which chooses another.
        ConfigurationError: `host` is not an address of this machine, or the port needs a privilege.
    """
    if port == 0:
        return free_port(host, reserved=reserved)
    if port in reserved or not is_free(host, port):
        raise ResourceBusy(f"port {port} is in use; choose another with {option} N, or {option} 0 for a free one")
    return port


def free_port(host: str = "127.0.0.1", *, reserved: Collection[int] = ()) -> int:
    """Find a random free port outside the range of ephemeral ports that is not `reserved`."""
    for _ in range(_ATTEMPTS):
        port = secrets.choice(_LASTING_PORTS)
        if port not in reserved and is_free(host, port):
            return port
    raise ResourceBusy(f"no free port found between {_LASTING_PORTS.start} and {_LASTING_PORTS.stop}")


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
