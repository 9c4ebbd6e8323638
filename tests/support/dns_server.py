"""A DNS server of our own, over UDP and TCP on one port, with a zone that a test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset


@dataclass
class DnsServer:
    """`add` records, and name what is to go wrong in `faults`, by name: `servfail`, `silent`, `garbage` or `cut` (each
    answer over UDP says that it was cut). It counts what comes over TCP.
    """

    faults: dict[str, str] = field(default_factory=dict[str, str])
    records: dict[tuple[str, str], list[dns.rdata.Rdata]] = field(
        default_factory=dict[tuple[str, str], list[dns.rdata.Rdata]]
    )
    asked: list[str] = field(default_factory=list[str])
    over_tcp: int = 0
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, kind: str, *values: str | bytes) -> None:
        """Add records. The value of a TXT record is its text, which is cut into strings as the DNS needs it."""
        for value in values:
            text = _quoted(value) if kind == "TXT" else str(value)
            rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), text, relativize=False)
            self.records.setdefault((name.lower(), kind), []).append(rdata)

    def answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        fault = self.faults.get(name)
        self.asked.append(f"{name} {dns.rdatatype.to_text(question.rdtype)}")
        if fault == "silent":
            return None
        if fault == "garbage":
            return wire[:2] + b"\xff" * 40
        response = dns.message.make_response(query, recursion_available=True)
        if fault == "servfail":
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        if udp and fault == "cut":
            response.flags |= dns.flags.TC
            return response.to_wire()
        self._fill(response, name, dns.rdatatype.to_text(question.rdtype))
        if udp and len(response.to_wire(max_size=65_535)) > query.payload:
            response.answer.clear()
            response.flags |= dns.flags.TC
        return response.to_wire(max_size=65_535)

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(5):  # aliases
            if not any(known == name for known, _ in self.records):
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
            alias = self.records.get((name, "CNAME"), [])
            found = self.records.get((name, kind), alias)
            if found:
                kind_found = kind if (name, kind) in self.records else "CNAME"
                response.answer.append(dns.rrset.from_rdata_list(dns.name.from_text(name), 60, found))
                if kind_found == kind:
                    return
                name = found[0].to_text().rstrip(".").lower()
            else:
                return


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, udp=True)
        if answer is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def dns_server() -> AsyncGenerator[DnsServer]:
    """Run a server with an empty zone."""
    server = DnsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.over_tcp += 1
        size = int.from_bytes(await reader.readexactly(2))
        answer = server.answer(await reader.readexactly(size), udp=False)
        if answer is not None:
            writer.write(len(answer).to_bytes(2) + answer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as tcp:
        server.port = tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(server), local_addr=("127.0.0.1", server.port)
        )
        try:
            yield server
        finally:
            transport.close()


def _quoted(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    pieces = [data[start : start + 255] for start in range(0, len(data), 255)] or [b""]
    return " ".join('"' + "".join(f"\\{byte:03d}" for byte in piece) + '"' for piece in pieces)
