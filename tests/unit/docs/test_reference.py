"""The reference says what the code does: nothing is missing in it, and nothing in it is stale."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from celeriac import JobState
from celeriac.core import errors
from celeriac.core.extras import MODULES
from celeriac.core.states import TRANSITIONS
from celeriac.families.webhooks import refusals  # noqa: F401 (so that its errors are known)
from celeriac.http import problems
from celeriac.http.models import JobView
from celeriac.store import keys
from tests.support.project import locked, lower_bounds, project, pyproject
from tests.support.reference import REFERENCE, SECTIONS, written
from tests.support.source import nodes_of, tree_of
from tests.support.workers import ROOT

_IDEMPOTENCY = "celeriac:idempotency:{sha256}"
_KEY_OF = {"queue": "{queue}", "delayed": "{queue}", "held": "{worker}", "bucket": "{name}", "slots": "{name}"}


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=lambda page: page.name)
def test_generated_sections_follow_the_code(page: Path) -> None:
    assert page.read_text() == written(page), "run: python -m tests.support.reference"


def test_every_section_is_somewhere() -> None:
    text = "".join(page.read_text() for page in REFERENCE.glob("*.md"))
    assert set(re.findall(r"<!-- generated: ([\w-]+) -->", text)) == set(SECTIONS)


def test_the_diagram_shows_allowed_moves_and_every_state() -> None:
    drawn = re.findall(r"^    (\w+) --> (\w+)", (REFERENCE / "job-states.md").read_text(), re.MULTILINE)
    assert drawn
    for source, target in drawn:
        assert JobState(target) in TRANSITIONS[JobState(source)], f"{source} --> {target} is not allowed"
    assert {name for move in drawn for name in move} == set(JobState)


def test_the_diagram_leaves_no_state_without_its_usual_way_out() -> None:
    drawn = {
        source for source, _ in re.findall(r"^    (\w+) --> (\w+)", (REFERENCE / "job-states.md").read_text(), re.M)
    }
    assert drawn == {state for state, targets in TRANSITIONS.items() if targets}


def test_all_problems_are_listed() -> None:
    listed = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", _column("errors.md", "Over HTTP", 1)))
    assert listed == _problem_kinds()


def test_all_fields_of_a_job_are_listed() -> None:
    listed = set(re.findall(r"`(\w+)`", _column("http-api.md", "A job", 0)))
    assert listed == set(JobView.model_fields)


def test_all_keys_are_listed() -> None:
    text = (REFERENCE / "redis-keys.md").read_text()
    for name, member in vars(keys).items():
        if isinstance(member, str) and member.startswith(keys.PREFIX) and name != "PREFIX":
            assert f"`{member}`" in text, name
        elif inspect.isfunction(member) and member.__module__ == keys.__name__:
            assert f"`{member(_KEY_OF.get(name, '{id}')) if name != 'idempotency' else _IDEMPOTENCY}`" in text, name


def test_the_page_on_architecture_knows_every_script_and_layer() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    scripts = {path.name for path in (ROOT / "src" / "celeriac" / "store" / "scripts").glob("[!_]*.lua")}
    assert set(re.findall(r"`(\w+\.lua)`", page)) == scripts
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    whole, store = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    before, _, after = page.partition("### The store")
    for text, layers in ((before, whole), (after, store)):
        names = {name.strip().removeprefix("celeriac.") for layer in layers for name in layer.split("|")}
        packages = " ".join(row[0] for row in _rows(text))
        assert set(re.findall(r"`(\w+)`", packages)) == names - {"testing"}


def test_dependencies_are_explained_with_their_place_and_licence() -> None:
    table = [row for row in _rows((ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()) if len(row) == 5]
    assert {row[0].strip("`"): row[1].replace("`", "") for row in table} == _places()
    licence_of = {row[0].strip("`"): row[2] for row in table}
    # Older versions had other licences, or other words for the same. `./dev lowest` has some of them installed.
    for name in (name for name, version in _pinned().items() if version == metadata.version(name)):
        assert licence_of[name] in licences(name), f"{name}: its metadata says {licences(name)}"


def test_extras_are_explained_and_checked_for_what_they_bring() -> None:
    explained = [
        row for row in _rows((ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()) if len(row) == 2
    ]
    assert {row[0].strip("`") for row in explained} == set(project()["optional-dependencies"])
    places = _places()
    distributions = metadata.packages_distributions()
    for extra, modules in MODULES.items():
        brought = {name.lower() for module in modules for name in distributions[module]}
        assert brought == {name for name, place in places.items() if extra in place.split(", ")}


def test_the_table_of_versions_has_each_bound_and_what_the_lock_pins() -> None:
    bounds, pinned = lower_bounds(), _pinned()
    _, _, table = (REFERENCE / "versions.md").read_text().partition("## Tested versions")
    told = {name: row[1:3] for row in _rows(table) for name in row[0].split(", ") if name != "Python"}
    assert told.keys() == bounds.keys()
    for name, (oldest, newest) in told.items():
        assert f"{oldest.split()[0]}.".startswith(f"{bounds[name]}."), name
        assert newest.split()[0] == pinned[name], name


def test_the_base_is_lean() -> None:
    assert len(project()["dependencies"]) <= 10


def _pinned() -> dict[str, str]:
    """The version of each direct dependency in uv.lock."""
    return {name: version for name, version in locked().items() if name in _places()}


@cache
def _places() -> dict[str, str]:
    """Each direct dependency, and the extras that bring it, or `base`. Extras may include each other."""
    groups = {"base": project()["dependencies"], **project()["optional-dependencies"]}
    places: dict[str, list[str]] = {}
    for place, group in groups.items():
        for dependency in group:
            places.setdefault(re.split(r"[\[<>=~;! ]", dependency)[0], []).append(place)
    return {name: ", ".join(found) for name, found in places.items() if name != "celeriac"}


def licences(distribution: str) -> str:
    """What a distribution's metadata says of its licence."""
    about = metadata.metadata(distribution)
    classifiers = [c for c in about.get_all("Classifier", []) if c.startswith("License")]
    return " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:60], *classifiers])


def _column(page: str, heading: str, number: int) -> str:
    """The cells of one column of the first table below a heading."""
    _, _, text = (REFERENCE / page).read_text().partition(f"## {heading}\n")
    return " ".join(row[number] for row in _rows(text.partition("\n## ")[0]))


def _rows(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    kept = [line for number, line in enumerate(lines) if number not in heads and not line.startswith("|---")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in kept]


def _kinds_of(error: type[Exception]) -> set[type[Exception]]:
    """Our errors of a kind, without those that are only the base of others."""
    ours = [kind for kind in error.__subclasses__() if kind.__module__.startswith("celeriac.")]
    kinds = [kind for kind in ours if not kind.__name__.startswith("_")]
    return {one for kind in kinds for one in (_kinds_of(kind) or {kind})}


def _problem_kinds() -> set[str]:
    """Every kind of problem that the source of HTTP resources spells out, and those made of errors' names."""
    refused = {kind for kind in errors.SubmissionInvalid.__subclasses__() if kind.__module__.startswith("celeriac.")}
    absent = {kind for kind in _kinds_of(errors.JobRefused) if issubclass(kind, LookupError)}
    named = {*problems._STATUS, *refused, *absent}
    kinds = {re.sub(r"(?<!^)(?=[A-Z])", "-", error.__name__).lower() for error in named}
    sources = ROOT / "src" / "celeriac"
    for source in [*(sources / "http").rglob("*.py"), *(sources / "families").rglob("*.py")]:
        for call in nodes_of(tree_of(source)):
            match call:
                case ast.Call(args=[ast.Constant(value=int(status)), ast.Constant(value=str(kind)), *_]) if (
                    status >= 400
                ):
                    kinds.add(kind)
                case ast.Call(func=ast.Name(id="_invalid"), args=[ast.Constant(value=str(kind)), *_]) if (
                    source.name == "problems.py"
                ):
                    kinds.add(kind)
    return kinds
