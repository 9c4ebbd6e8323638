"""Every private name of Celery, kombu and billiard that the engine uses is listed, and is there in what we have."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from celeriac import engine
from celeriac.engine.private import USED, Private
from tests.support import source
from tests.support.source import nodes_of

FOREIGN = ("celery", "kombu", "billiard")
LISTED = {private.name for private in USED}


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def is_foreign(module: str) -> bool:
    return module.partition(".")[0] in FOREIGN


@cache
def modules() -> list[ModuleType]:
    """The engine's."""
    return [importlib.import_module(found.name) for found in pkgutil.walk_packages(engine.__path__, "celeriac.engine.")]


@cache
def tree_of(module: str) -> ast.Module:
    return source.tree_of(Path(inspect.getfile(importlib.import_module(module))))


@cache
def definition_of(cls: type) -> ast.ClassDef:
    """Its source; not by `inspect`, since Celery gives its bootsteps qualified names of another kind."""
    return next(
        node
        for node in nodes_of(tree_of(cls.__module__))
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    )


@cache
def attributes_set(tree: ast.AST) -> set[str]:
    found = [node for node in nodes_of(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    return {node.attr for node in found}


@cache
def names_of(owner: type | ModuleType) -> frozenset[str]:
    """The names of a class or module: what it defines, and the attributes that it sets."""
    if isinstance(owner, ModuleType):
        return frozenset([*vars(owner), *attributes_set(tree_of(owner.__name__))])
    names = attributes_set(definition_of(owner))
    mangled = [f"_{owner.__name__}{name}" for name in names if name.startswith("__")]
    return frozenset([*vars(owner), *names, *mangled])


def owner_of(private: Private) -> Any:
    module, _, name = private.owner.partition(":")
    owner: Any = importlib.import_module(module)
    return getattr(owner, name) if name else owner


@pytest.mark.parametrize("private", USED, ids=lambda private: f"{private.owner}.{private.name}")
def test_what_is_listed_is_there(private: Private) -> None:
    assert private.name in names_of(owner_of(private)), f"{private.owner} has no {private.name} any more: {private.why}"


def test_nothing_is_listed_twice() -> None:
    assert len({(private.owner, private.name) for private in USED}) == len(USED)


def classes_of(module: ModuleType) -> list[type]:
    """Those that it defines."""
    return [cls for cls in vars(module).values() if inspect.isclass(cls) and cls.__module__ == module.__name__]


def bases_of(cls: type, *, foreign: bool) -> list[type]:
    known = (*FOREIGN, "celeriac")
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in known]
    return [base for base in bases if is_foreign(base.__module__) is foreign]


def used_in_classes() -> Iterator[tuple[str, str]]:
    """Private names of the foreign bases of the engine's classes that these classes define, read or set."""
    for module in modules():
        for cls in classes_of(module):
            inherited = frozenset[str]().union(*map(names_of, bases_of(cls, foreign=True)))
            for name in private_names(definition_of(cls)) & inherited:
                yield f"{module.__name__}:{cls.__name__}", name


def private_names(tree: ast.AST) -> set[str]:
    """Attributes and functions, and what is asked for with `getattr` and its like."""
    names: set[str] = set()
    for node in nodes_of(tree):
        match node:
            case ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Constant(value=str(name)) if name.isidentifier():
                names.add(name)
            case _:
                pass
    return {name for name in names if is_private(name) and name.strip("_")}


def own_names(module: ModuleType) -> set[str]:
    """The names that a module makes, or inherits from another one of ours."""
    tree = tree_of(module.__name__)
    names = set(attributes_set(tree))
    for node in nodes_of(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
    return names.union(*(names_of(base) for cls in classes_of(module) for base in bases_of(cls, foreign=False)))


def used_elsewhere() -> Iterator[tuple[str, str]]:
    """Private names that a module of the engine uses and does not make itself, and those it imports."""
    for module in modules():
        if module.__name__ == "celeriac.engine.private":
            continue
        tree = tree_of(module.__name__)
        for name in private_names(tree) - own_names(module):
            yield module.__name__, name
        for node in nodes_of(tree):
            if isinstance(node, ast.ImportFrom) and is_foreign(node.module or ""):
                yield from ((module.__name__, alias.name) for alias in node.names if is_private(alias.name))


def test_what_is_used_is_listed_and_what_is_listed_is_used() -> None:
    """In one test: all of the engine's source is looked through for it."""
    places = {*used_in_classes(), *used_elsewhere()}
    assert sorted((place, name) for place, name in places if name not in LISTED) == []
    used = {name for _, name in places}
    assert sorted(LISTED - used - {"_local", "_task_stack"}) == []  # which the list's own module hands on
