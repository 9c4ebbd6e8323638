"""A Jinja environment for templates that strangers write.

Jinja's own sandbox keeps a template away from Python's internals. It does not bound memory or CPU time:
`'a' * 10**10`, `'%1000000000d' % 1`, a macro that calls itself. So this environment allows only what mail needs
(values, conditions, loops over the data, filters), and gives each rendering a budget:

- No function or method calls, macros, blocks, includes or imports; no globals. List literals hold constants only.
- Attributes and items are looked up in the recipient's data, never on Python objects.
- Operators take numbers, of at most 256 bits; `+` also takes two strings. No `**`. `%` does not format.
- The budget pays for every text or list that an operation makes, every pass of a loop, and every character of output.

After that, only Python code can be slow, and `run_with_deadline` can stop that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, cast

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

from celeriac.families.email.filters import FILTERS, scalar
from celeriac.families.email.model import MAX_NAME

#: The limits of rendering one template.
MAX_OUTPUT = 1_000_000
"""Characters of output."""
MAX_WORK = 4_000_000
"""Characters and list items made on the way."""
MAX_PASSES = 20_000
"""Passes of all loops together."""
MAX_TOKENS = 20_000
"""Tokens of one template; `{{ name }}` has six. Python compiles a template without a pause, and all threads wait."""

_MAX_BITS = 256

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Assign,
    nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Filter, nodes.Test, nodes.Keyword, nodes.CondExpr, nodes.Compare, nodes.Operand,
    nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Concat,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod,
)  # fmt: skip

_INSTEAD: dict[type[nodes.Node], str] = {
    nodes.Call: "functions and methods cannot be called; use a filter, {{ name|upper }}",
    nodes.Pow: "the operator ** is not available",
    nodes.Dict: "{...} is not available",
}

_LOOP_ATTRIBUTES = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})


class Budget:
    """The budget that remains for rendering one template."""

    def __init__(self) -> None:
        self._work = MAX_WORK
        self._passes = MAX_PASSES

    def charge(self, made: int) -> None:
        """Pay for so many characters or items. Pay before they are made, if their number is known.

        Raises:
            SecurityError: too little is left.
        """
        self._work -= made
        if self._work < 0:
            raise SecurityError("the template makes texts or lists that are too long")

    def charge_pass(self) -> None:
        """Pay for one pass of a loop.

        Raises:
            SecurityError: there were too many.
        """
        self._passes -= 1
        if self._passes < 0:
            raise SecurityError(f"the loops run more than {MAX_PASSES:,} times")


# There is no budget while Jinja compiles a template. It would compute constant expressions then, but a filter raises
# LookupError without a budget, so Jinja leaves them for the rendering.
_budget: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def fresh_budget() -> Generator[None]:
    """Give all rendering inside the block one budget."""
    token = _budget.set(Budget())
    try:
        yield
    finally:
        _budget.reset(token)


class MailEnvironment(ImmutableSandboxedEnvironment):
    """A Jinja environment that allows what the module's docstring lists, and nothing else."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape, undefined=StrictUndefined, finalize=scalar, optimized=False, cache_size=0
        )
        self.globals.clear()
        self.filters = {name: _charged(function) for name, function in FILTERS.items()}
        self.filters |= {"_each": _each, "_concat": self.filters["join"], "_slice": _charged(_slice)}
        self.tests = dict(_TESTS)

    def checked(self, source: str) -> nodes.Template:
        """Parse `source` and make it safe.

        Raises:
            jinja2.TemplateSyntaxError: it is not a template, or uses something that is not available.
        """
        for number, (line, *_) in enumerate(self.lex(source)):
            if number == MAX_TOKENS:
                raise TemplateSyntaxError(f"there are more than {MAX_TOKENS:,} tokens up to here", line)
        tree = self.parse(source)
        for node in tree.find_all(nodes.Node):
            fault = _fault(node)
            if fault is not None:
                raise TemplateSyntaxError(fault, node.lineno)
        return _Charging().visit(tree)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Evaluate `obj.attribute`: an item of the data, or an attribute of `loop`."""
        if isinstance(obj, LoopContext) and attribute in _LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Evaluate `obj[argument]`: an item of the data."""
        if isinstance(obj, (dict, list, tuple, str)):
            try:
                return obj[argument]  # type: ignore[index]  # it may not fit: that raises
            except (TypeError, LookupError):
                pass
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute with numbers of bounded size. `+` also joins texts."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            _budget.get().charge(len(left) + len(right))
        elif not (_is_number(left) and _is_number(right)):
            raise SecurityError(f"the operator {operator} takes numbers{' or two texts' if operator == '+' else ''}")
        return super().call_binop(context, operator, left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _MAX_BITS)


def _fault(node: nodes.Node) -> str | None:
    """Say why this node is not allowed in a template. None: it is allowed."""
    if not isinstance(node, _ALLOWED):
        kind = type(node)
        return _INSTEAD.get(kind) or f"{{% {kind.__name__.lower()} %}} is not available in mail templates"
    if isinstance(node, (nodes.List, nodes.Tuple)) and not all(_is_plain_item(item) for item in node.items):
        return "a list in a template may hold constants only"
    if isinstance(node, nodes.Name) and len(node.name) > MAX_NAME:
        return f"the name of a variable is longer than {MAX_NAME} characters"
    if isinstance(node, nodes.For) and node.recursive:
        return "a recursive loop is not available"
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        return f"there is no filter {node.name!r}; there are: {', '.join(sorted(FILTERS))}"
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        return f"there is no test {node.name!r}; there are: {', '.join(sorted(_TESTS))}"
    if isinstance(node, (nodes.Filter, nodes.Test)) and (node.dyn_args or node.dyn_kwargs):
        return "arguments cannot be unpacked with * or **"
    return None


def _is_plain_item(node: nodes.Node) -> bool:
    is_target = isinstance(node, nodes.Name) and node.ctx == "store"  # {% for key, value in ... %}
    return is_target or isinstance(node, (nodes.Const, nodes.Neg))


class _Charging(NodeTransformer):
    """A transformer that replaces operations without a budget by filters that have one."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        node.iter = _filter("_each", node.iter)
        return self.generic_visit(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        items = nodes.Tuple(node.nodes, "load", lineno=node.lineno)
        return self.generic_visit(_filter("_concat", items))

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        if isinstance(node.arg, nodes.Slice):
            none = nodes.Const(None)
            arguments = [part or none for part in (node.arg.start, node.arg.stop, node.arg.step)]
            return self.generic_visit(_filter("_slice", node.node, *arguments))
        return self.generic_visit(node)


def _filter(name: str, node: nodes.Node, *arguments: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), name, list(arguments), [], None, None, lineno=node.lineno)


def _each(iterable: Iterable[Any]) -> Iterator[Any]:
    budget = _budget.get()
    for item in iterable:
        budget.charge_pass()
        yield item


def _slice(value: Any, start: Any, stop: Any, step: Any) -> Any:
    return value[start:stop:step]


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter so that the budget pays for its result."""

    @wraps(function)  # with the mark by which Jinja knows what to pass first
    def filtered(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        result = function(*args, **kwargs)
        if isinstance(result, (str, list)):
            budget.charge(len(cast("str | list[Any]", result)))
        return cast(Any, result)

    return filtered


def _numeric(test: Callable[..., bool]) -> Callable[..., bool]:
    """Wrap a test so that it takes only numbers. On a text, `is odd` would format it with `%`."""

    @wraps(test)
    def tested(*values: Any) -> bool:
        if not all(_is_number(value) for value in values):
            raise TypeError("this test takes numbers")
        return test(*values)

    return tested


_TESTS: Mapping[str, Callable[..., bool]] = {
    **{
        name: TESTS[name]
        for name in (
            "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string",
            "mapping", "sequence", "iterable", "in", "==", "eq", "equalto", "!=", "ne", ">", "gt", "greaterthan",
            ">=", "ge", "<", "lt", "lessthan", "<=", "le",
        )
    },
    **{name: _numeric(TESTS[name]) for name in ("odd", "even", "divisibleby")},
}  # fmt: skip
