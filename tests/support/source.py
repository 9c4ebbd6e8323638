"""Source code as trees, parsed and walked once for all the tests of a process that look into it."""

from __future__ import annotations

import ast
import gc
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


@cache
def tree_of(file: Path) -> ast.Module:
    with _no_collections():
        return ast.parse(file.read_text())


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """The node itself, and all below it."""
    with _no_collections():
        return tuple(ast.walk(tree))


@contextmanager
def _no_collections() -> Generator[None]:
    """Look for no garbage: nodes stay, and the search takes as long as the parsing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
