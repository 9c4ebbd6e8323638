"""Keeps deliveries out of networks that strangers must not reach by us (server-side request forgery, CWE-918).

A name is resolved once, all of its addresses are checked, and the connection is made to one of them. So a name server
that answers differently the next time changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network

from celeriac.families.webhooks.addresses import Address, Network, forms, is_public
from celeriac.families.webhooks.errors import TargetRefused, UrlInvalid
from celeriac.families.webhooks.targets import Target, parse_target

#: Names that are resolved at a time, each in a thread, as the system's resolver blocks. A name server that does not
#: answer holds one for each of its names, for as long as the system waits: 10 s, usually.
_LOOKUPS = 32
_REMEMBERED_URLS = 4096


@dataclass(frozen=True, slots=True)
class Allowed:
    """A network that deliveries may go to, though it is not public. `port` is the only one; None: any."""

    network: Network
    port: int | None = None

    def has(self, address: Address, port: int) -> bool:
        return self.port in (None, port) and any(each in self.network for each in forms(address))


class Guard:
    """Decides where deliveries may go: to public addresses, and where it is allowed."""

    def __init__(
        self, allowed: Iterable[Network | str] = (), *, look_up: Callable[[str], Sequence[Address]] | None = None
    ) -> None:
        """Allow what is public, and `allowed` besides.

        Args:
            allowed: networks (`10.1.0.0/16`), addresses with or without a port (`127.0.0.1:9000`), and names with a
                port (`hooks.internal:8080`), wherever these are.
            look_up: finds the addresses of a name, in a thread of its own; None: the system does.

        Raises:
            ValueError: an entry is none of these. The message names it.
        """
        self._networks: list[Allowed] = []
        self._names: set[tuple[str, int]] = set()
        self._reached: set[tuple[str, int]] = set()
        for entry in allowed:
            self._allow(entry)
        self._look_up = look_up or ask_system
        self.parse = lru_cache(maxsize=_REMEMBERED_URLS)(self._parse)
        self._threads: ThreadPoolExecutor | None = None

    def _allow(self, entry: Network | str) -> None:
        if not isinstance(entry, str):
            self._networks.append(Allowed(entry))
            return
        try:
            self._networks.append(Allowed(ip_network(entry.strip("[]"))))
        except ValueError:
            target = _host_with_port(entry)
            if target.address is None:
                self._names.add((target.host, target.port))
            else:
                self._networks.append(Allowed(ip_network(target.address), target.port))

    def _parse(self, url: str) -> Target:
        """Read the URL of an endpoint. It looks nothing up.

        Raises:
            UrlInvalid: the URL cannot be used. The message says what to change.
            TargetRefused: it has an address that deliveries must not go to.
        """
        target = parse_target(url)
        if target.address is not None:
            self._check(target.host, target.port, [target.address])
        return target

    async def resolve(self, target: Target) -> Sequence[Address]:
        """Return the addresses of `target`, all of which were checked.

        Raises:
            TargetRefused: one of them is an address that deliveries must not go to.
            OSError: the name cannot be resolved.
        """
        return await self.look_up(target.host, target.port)

    async def look_up(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of `host`, as `resolve` does."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-names")
        found = await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host)
        self._check(host, port, found)
        return found

    def check_connection(self, address: str, port: int) -> None:
        """Refuse a connection to where deliveries must not go, however its address was come by.

        Raises:
            TargetRefused: it is such an address.
        """
        if (address, port) not in self._reached and not self._permits(ip_address(address), port):
            raise TargetRefused

    def close(self) -> None:
        """Let go of the threads. They end by themselves, after the lookups that still run."""
        self._threads = None

    def _check(self, host: str, port: int, addresses: Sequence[Address]) -> None:
        if (host, port) in self._names:
            self._reached.update((str(address), port) for address in addresses)
        elif not all(self._permits(address, port) for address in addresses):
            raise TargetRefused

    def _permits(self, address: Address, port: int) -> bool:
        return is_public(address) or any(allowed.has(address, port) for allowed in self._networks)


def _host_with_port(entry: str) -> Target:
    """Read `host:port`. Raises `ValueError`, which names the entry."""
    with suppress(UrlInvalid):
        target = parse_target(f"http://{entry}")
        if entry.endswith(f":{target.port}"):
            return target
    raise ValueError(
        f"{entry!r} is neither a network, such as 10.1.0.0/16, nor a host with its port, such as hooks.internal:8080"
    )


def ask_system(host: str) -> list[Address]:
    """Return the addresses of `host`, in the order in which to try them. Raises `OSError` if there are none."""
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # An address with a zone (fe80::1%eth0) is link-local. The zone is cut off, as it is refused in any case.
    return list(dict.fromkeys(ip_address(str(info[4][0]).partition("%")[0]) for info in infos))
