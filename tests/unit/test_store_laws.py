"""What the store promises of itself, looked up in the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from redis import Redis

from celeriac.store import keys
from tests.support.project import pyproject
from tests.support.source import nodes_of, tree_of

SOURCE = Path(keys.__file__).parents[1]
#: Commands of redis-py's clients whose names methods of other classes have, too.
COMMON = {
    *(
        "append",
        "close",
        "command",
        "delete",
        "digest",
        "dump",
        "echo",
        "exists",
        "get",
        "info",
        "json",
        "keys",
        "move",
        "ping",
    ),
    *("publish", "quit", "reset", "save", "select", "set", "sync", "time", "unlink", "wait", "watch"),
}


def test_only_the_module_of_keys_spells_a_key_out() -> None:
    spelled = re.compile(r"""["']f?celeriac:[a-z]""")
    files = [path for kind in ("*.py", "*.lua") for path in SOURCE.rglob(kind)]
    assert len(files) > 100
    assert [str(path) for path in files if spelled.search(path.read_text())] == []
    assert re.search(r"""["']celeriac:""", Path(keys.__file__).read_text())  # as it makes them


def test_the_rule_that_only_the_store_imports_redis_names_every_other_package() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    (rule,) = [contract for contract in contracts if contract["name"] == "Only the store talks Redis"]
    packages = {path.stem for path in SOURCE.iterdir() if path.stem not in ("__init__", "__main__", "__pycache__")}
    assert {name.removeprefix("celeriac.") for name in rule["source_modules"]} == {
        name for name in packages if not name.startswith(".") and name not in ("py", "store")
    }


def test_no_module_outside_of_the_store_calls_a_command_of_a_client() -> None:
    commands = {name for name in dir(Redis) if not name.startswith("_")} - COMMON
    commands |= {"send_command", "parse_response", "read_response"}
    called = {
        f"{path.relative_to(SOURCE)}: {node.func.attr}"
        for path in SOURCE.rglob("*.py")
        if "store" not in path.relative_to(SOURCE).parts
        for node in nodes_of(tree_of(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in commands
    }
    assert {"hgetall", "evalsha", "blmove", "execute_command", "pipeline", "config_get"} <= commands
    assert called == set()
