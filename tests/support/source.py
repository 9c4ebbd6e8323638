"""Source code as trees, parsed and walked once for all the tests of a process that look into it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """The node itself, and all below it."""
    return tuple(ast.walk(tree))
