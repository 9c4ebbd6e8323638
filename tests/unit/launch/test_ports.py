import socket
import sys
from pathlib import Path

import pytest

from celeriac.core.errors import ConfigurationError, ResourceBusy
from celeriac.launch.resources import ports


@pytest.fixture
def taken() -> object:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_the_way_out(taken: int) -> None:
    with pytest.raises(ResourceBusy, match=rf"port {taken} is in use; choose another with --port N, or --port 0"):
        ports.claim("127.0.0.1", taken, "--port")


def test_a_free_port_is_kept() -> None:
    port = ports.free_port()
    assert ports.claim("127.0.0.1", port, "--port") == port


def test_zero_chooses_a_port_that_can_be_listened_on() -> None:
    port = ports.claim("127.0.0.1", 0, "--port")
    with socket.create_server(("127.0.0.1", port)):
        assert not ports.is_free("127.0.0.1", port)


def test_a_reserved_port_is_as_good_as_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ports.free_port(), ports.free_port()
    with pytest.raises(ResourceBusy, match=f"port {first} is in use"):
        ports.claim("127.0.0.1", first, "--port", reserved={first})
    monkeypatch.setattr(ports, "_LASTING_PORTS", (first, second))
    assert ports.claim("127.0.0.1", 0, "--port", reserved={first}) == second


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's range of ephemeral ports")
def test_chosen_ports_are_never_given_to_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(ports.free_port() < lowest for _ in range(20))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_a_wrong_setting(host: str) -> None:
    with pytest.raises(ConfigurationError, match=host):
        ports.claim(host, 0, "--port")


def test_ipv6() -> None:
    assert ports.is_free("[::1]", ports.free_port("::1"))
