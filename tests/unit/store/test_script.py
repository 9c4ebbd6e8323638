"""The Lua scripts and the Python that calls them agree on what there is."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from importlib.resources import files

import pytest

from celeriac import store
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


@pytest.mark.parametrize("name", SOURCES)
def test_a_script_is_sent_as_it_is_and_allowed_to_run_on_a_full_server_only_where_it_says_so(
    name: str,
) -> None:
    script = SCRIPTS[name]
    assert script.source.endswith(SOURCES[name])
    assert script.source.startswith("#!lua flags=allow-oom\n") is script.when_full


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
    for word in ("KEYS[1]", "ARGV[1]", "Returns "):
        assert word in header(name)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("table", ["KEYS", "ARGV"])
def test_every_key_and_argument_that_a_script_uses_by_number_is_in_its_head(name: str, table: str) -> None:
    body = SOURCES[name].removeprefix(header(name))
    used = {int(number) for number in re.findall(rf"{table}\[(\d+)\]", body)}
    told = {int(number) for number in re.findall(rf"{table}\[(\d+)", header(name))}
    assert told == set(range(1, max(told) + 1))
    assert used <= told or "then per" in header(name)


def test_what_workers_need_runs_on_a_full_server_and_what_adds_jobs_does_not() -> None:
    adds = {"enqueue", "publish", "cancel", "requeue", "progress", "put_later"}
    assert {name for name, script in SCRIPTS.items() if not script.when_full} == adds


def test_scripts_are_told_apart_by_their_content() -> None:
    assert len({script.sha for script in SCRIPTS.values()}) == len(SCRIPTS)
