"""The laws of docs/explanation/architecture.md, as far as the import rules in pyproject.toml cannot check them."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.source import nodes_of, tree_of
from tests.support.workers import ROOT

SOURCE = ROOT / "src"
PACKAGE = SOURCE / "celeriac"

#: Makes an application, an API or settings.
MAKERS = {"Celeriac", "JobApp", "FastAPI", "Settings", "compose", "create_api", "create_app", "load_settings", "read"}


@cache
def trees() -> dict[str, ast.Module]:
    """Each module of the package, by its path below `src/`."""
    files = [*PACKAGE.rglob("*.py"), SOURCE / "celery_tasks.py"]
    return {str(file.relative_to(SOURCE)): tree_of(file) for file in files}


def run_on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are evaluated when the module is imported: those outside of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from run_on_import(node)


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_no_module_makes_an_application_or_reads_settings_when_it_is_imported() -> None:
    made = [
        f"{path}:{node.lineno} {name_of(node.func)}"
        for path, tree in trees().items()
        for node in run_on_import(tree)
        if isinstance(node, ast.Call) and name_of(node.func) in MAKERS
    ]
    assert made == []


def test_an_application_that_is_made_on_import_would_be_seen() -> None:
    tree = ast.parse("class A:\n    app = create_app()\ndef f():\n    return create_api()\n")
    assert [name_of(node.func) for node in run_on_import(tree) if isinstance(node, ast.Call)] == ["create_app"]


def test_only_the_module_for_celerys_commands_imports_the_built_in_application() -> None:
    importers = [
        path
        for path, tree in trees().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.ImportFrom) and any(alias.name == "c_app" for alias in node.names)
    ]
    assert importers == ["celery_tasks.py"]


def test_only_the_settings_touch_the_environment() -> None:
    touched = {
        path
        for path, tree in trees().items()
        for node in nodes_of(tree)
        if (isinstance(node, ast.Attribute | ast.Name) and name_of(node) in ("environ", "environb", "getenv", "putenv"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv", "putenv"))
    }
    assert touched == {"celeriac/settings.py"}


def test_how_the_embedded_server_syncs_its_file_is_said_in_one_place_and_as_it_is() -> None:
    told = {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if "appendfsync" in file.read_text()}
    assert told == {"launch/broker/embedded.py"}
    source = (PACKAGE / "launch" / "broker" / "embedded.py").read_text()
    (value,) = re.findall(r'"appendfsync (\w+)"', source)
    assert f"`appendfsync {value}`" in (ROOT / "docs" / "explanation" / "delivery-guarantees.md").read_text()
    assert not re.search(r"sync\w* (each|every|once a) second", source)


def test_every_page_and_module_names_the_oldest_redis_that_the_doctor_accepts() -> None:
    (oldest,) = re.findall(
        r"^_OLDEST = (\d+)$", (PACKAGE / "launch" / "doctor" / "doctor.py").read_text(), re.MULTILINE
    )
    claims: defaultdict[str, list[str]] = defaultdict(list)
    for file in (*(ROOT / "docs").rglob("*.md"), *PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.lua"), ROOT / "README.md"):
        for claim in re.findall(r"\bRedis (\d+(?:\.\d+)?)(?= or newer|\+| or later|,? or Valkey)", file.read_text()):
            claims[claim.partition(".")[0]].append(str(file.relative_to(ROOT)))
    assert set(claims) == {oldest}, claims
    assert "docs/how-to/own-redis.md" in claims[oldest]


def test_one_module_knows_the_form_of_what_processes_tell_their_parent() -> None:
    users = {
        path
        for path, tree in trees().items()
        for node in nodes_of(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "celeriac.core.parent_protocol"
    }
    assert {path.split("/")[1] for path in users} == {"engine", "launch"}
    text = "\n".join((SOURCE / path).read_text() for path in users)
    assert not re.search(r"""os\.write\(\w*(pipe|report)\w*, (?!encode\()""", text)


def test_no_module_of_launch_or_start_has_the_name_of_another_module() -> None:
    names = [Path(path).stem for path in trees()]
    ours = [path for path in trees() if path.startswith(("celeriac/launch/", "celeriac/engine/start/"))]
    twice = [path for path in ours if names.count(Path(path).stem) > 1 and not path.endswith("__init__.py")]
    assert twice == []


def test_a_constant_that_is_a_length_of_time_has_its_unit_in_its_name() -> None:
    lengths = re.compile(
        r"DELAY|EVERY|GATHER|GRACE|HOLD|INTERVAL|KEEP_ALIVE|LEASE(_|\b)|LIFE|MOMENT|PATIENCE|PAUSE|POLL|SECONDS|TIMEOUT|WAIT"
    )
    constants = {
        f"{path}: {target.id}"
        for path, tree in trees().items()
        for node in tree.body
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Call | ast.Subscript)
        for assigned in node.targets
        for target in (assigned.elts if isinstance(assigned, ast.Tuple) else [assigned])
        if isinstance(target, ast.Name) and target.id.isupper() and lengths.search(target.id)
    }
    assert len(constants) > 40
    assert {constant for constant in constants if not constant.endswith(("_S", "_MS"))} == set()
