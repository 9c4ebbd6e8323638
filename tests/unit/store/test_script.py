"""The Lua scripts and the Python that calls them agree on what there is."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from celeriac import store
from celeriac.core.errors import InstallationBroken
from celeriac.store.declared import check_scripts, scripts
from celeriac.store.scripts.script import Script

SOURCES = {
    path.name.removesuffix(".lua"): path.read_text()
    for path in files("celeriac.store.scripts").iterdir()
    if path.name.endswith(".lua")
}
LIBRARY = SOURCES.pop("_lib")


def known_scripts() -> Iterator[Script]:
    for module in pkgutil.walk_packages(store.__path__, "celeriac.store."):
        members = vars(importlib.import_module(module.name))
        yield from (value for value in members.values() if isinstance(value, Script))


SCRIPTS = {script.name: script for script in known_scripts()}


def header(name: str) -> str:
    return "\n".join(line for line in SOURCES[name].partition("\n\n")[0].splitlines() if line.startswith("--"))


def test_every_script_file_is_called_by_someone_and_every_call_has_its_file() -> None:
    assert SCRIPTS.keys() == SOURCES.keys()


def test_every_script_is_checked_when_a_process_starts() -> None:
    assert {script.name for script in scripts()} == SOURCES.keys()
    check_scripts()
    assert all("sha" in vars(script) for script in scripts())  # read, and shared by forks


@pytest.mark.parametrize("name", SOURCES)
def test_a_script_is_sent_as_it_is_and_allowed_to_run_on_a_full_server_only_where_it_says_so(
    name: str,
) -> None:
    script = SCRIPTS[name]
    assert numbered(script.source).endswith(numbered(SOURCES[name]))
    assert script.source.startswith("#!lua flags=allow-oom\n") is script.when_full


def numbered(text: str) -> str:
    return re.sub(r"WIDTH\.\w+|\d+", "N", text)


FUNCTIONS = re.findall(r"^local function (\w+)", LIBRARY, re.MULTILINE)


@pytest.mark.parametrize("name", SOURCES)
def test_a_script_has_the_shared_functions_that_it_uses_before_their_use_and_no_others(name: str) -> None:
    source = re.sub("--.*", "", SCRIPTS[name].source)
    for function in FUNCTIONS:
        places = [match.start() for match in re.finditer(rf"\b{function}\b", source)]
        defined = source.find(f"local function {function}(")
        if defined >= 0:
            assert places[0] == defined + len("local function ") and len(places) > 1
        else:
            assert not places


def test_the_shared_part_has_functions_and_remarks_only() -> None:
    rest = re.sub(r"^local function .*?^end\n", "", LIBRARY, flags=re.MULTILINE | re.DOTALL)
    assert all(line.startswith("--") or not line for line in rest.splitlines())


@pytest.mark.parametrize("name", SOURCES)
def test_the_head_of_a_script_says_what_its_keys_arguments_and_replies_are(name: str) -> None:
    for word in ("KEYS[1]", "ARGV  ", "Returns "):
        assert word in header(name)


@pytest.mark.parametrize("name", SOURCES)
def test_every_key_that_a_script_uses_by_number_is_in_its_head(name: str) -> None:
    body = SOURCES[name].removeprefix(header(name))
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", body)}
    told = {int(number) for number in re.findall(r"KEYS\[(\d+)", header(name))}
    assert told == set(range(1, max(told) + 1))
    assert used <= told or "then per" in header(name)


@pytest.mark.parametrize("name", SOURCES)
def test_no_script_counts_its_arguments_by_hand(name: str) -> None:
    assert not re.findall(r"ARGV\[\d+\]|unpack\(ARGV, \d*[2-9]", SOURCES[name])


class _Known(NamedTuple):
    cause: str


class _More(NamedTuple):
    cause: str
    why: str


@pytest.mark.parametrize(
    ("lua", "python", "said"),
    [
        ("local cause, who = unpack(ARGV) -- fields: args", _Known, "who in Lua where Python has none"),
        ("local cause = unpack(ARGV) -- fields: args", _More, "none in Lua where Python has why"),
        ("local why, cause = unpack(ARGV) -- fields: args", _More, "why in Lua where Python has cause"),
        ("return ARGV[1]", _Known, "none in Lua where Python has cause"),
    ],
)
def test_a_field_that_only_one_side_has_fails_when_the_script_is_loaded(lua: str, python: Any, said: str) -> None:
    with pytest.raises(InstallationBroken, match=f"tell.lua: the fields of 'args' differ from Python's: {said}"):
        Script("tell", python).with_widths(lua)


def test_a_table_that_only_one_side_has_fails_when_the_script_is_loaded() -> None:
    args = "local cause = unpack(ARGV) -- fields: args\n"
    with pytest.raises(
        InstallationBroken, match="fields of 'part' differ from Python's: none in Lua where Python has cause"
    ):
        Script("tell", _Known, {"part": _Known}).with_widths(args)
    with pytest.raises(
        InstallationBroken, match="fields of 'part' differ from Python's: id in Lua where Python has none"
    ):
        Script("tell", _Known).with_widths(args + "local function f(x,\n  id) -- fields: part from id\n")


@pytest.mark.parametrize(("content", "cause"), [(None, "FileNotFoundError"), (b"\xff", "UnicodeDecodeError")])
def test_a_script_that_cannot_be_read_is_a_broken_installation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, cause: str
) -> None:
    if content is not None:
        (tmp_path / "tell.lua").write_bytes(content)
    monkeypatch.setattr("celeriac.store.scripts.script._FOLDER", tmp_path)
    with pytest.raises(InstallationBroken, match=f"tell.lua cannot be read: {cause}; install celeriac anew"):
        _ = Script("tell", _Known).source


def test_lua_is_told_how_many_fields_a_table_has() -> None:
    lua = "local cause, why = unpack(ARGV, 1, WIDTH.args) -- fields: args"
    assert "unpack(ARGV, 1, 2)" in Script("tell", _More).with_widths(lua)


def test_what_workers_need_runs_on_a_full_server_and_what_adds_jobs_does_not() -> None:
    adds = {"enqueue", "publish", "cancel", "requeue", "progress", "put_later"}
    assert {name for name, script in SCRIPTS.items() if not script.when_full} == adds


def test_scripts_are_told_apart_by_their_content() -> None:
    assert len({script.sha for script in SCRIPTS.values()}) == len(SCRIPTS)
