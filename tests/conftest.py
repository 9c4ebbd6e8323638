"""How all tests are chosen and prepared. Their fixtures are in `tests/support/fixtures.py`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.alone import Room

_ROOM = pytest.StashKey[Room]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith("CELERIAC_")]:
        del os.environ[name]  # the settings of a developer's shell are not the tests' business
    # Without bytecode, each process of the run compiles every module again: most of its CPU time.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if hasattr(config, "workerinput"):
        config.stash[_ROOM] = Room()
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        _prepare(config)


def _prepare(config: pytest.Config) -> None:
    """Load what tests need. The process that hands them out to others runs none, and the others wait for it."""
    from hypothesis import settings as hypothesis_settings

    from tests.support import fixtures

    config.pluginmanager.register(fixtures)
    for profile, examples in (("default run", 10), ("slow", 200)):
        hypothesis_settings.register_profile(profile, max_examples=examples, derandomize=True, deadline=None)
    hypothesis_settings.load_profile("slow" if config.getoption("--slow") else "default run")
    gc.disable()  # until all tests are collected: modules and tests stay, and are not looked through again and again


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no module of which nothing is run: some take half a second, in each process of the run."""
    if config.getoption("--slow") or collection_path.suffix != ".py":
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        chosen: list[pytest.Item] = []
        slow: list[pytest.Item] = []
        for item in items:
            (slow if item.get_closest_marker("slow") else chosen).append(item)
        config.hook.pytest_deselected(items=slow)
        items[:] = chosen
    # At the end of the run, where the fewest processes are kept waiting.
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked `alone` while the other processes of the run have none under way."""
    room = item.config.stash.get(_ROOM, None)
    if room is None:
        return (yield)
    with room.entered(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
