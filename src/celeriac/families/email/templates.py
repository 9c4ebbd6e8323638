"""The templates of a mailing: checked before any mail is sent, then rendered for each recipient.

Strangers write templates, so `sandbox` limits what they may do and use. Still compile and render through
`run_with_deadline`, which stops templates that are merely slow.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables

from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.faults import listed
from celeriac.families.email.sandbox import MAX_OUTPUT, MailEnvironment, fresh_budget

#: Longest source of one template, in characters.
MAX_SOURCE = 262_144

_MAX_SUBJECT = 1_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The texts of one recipient's mail. The subject is one line."""

    subject: str
    text: str | None
    html: str | None


class MailTemplates:
    """The templates of one mailing, compiled."""

    def __init__(self, *, subject: str, text: str | None, html: str | None) -> None:
        """
        Raises:
            TemplateInvalid: the message names the template, the line and the fault.
        """
        if text is None and html is None:
            raise TemplateInvalid(
                "text", None, "there is neither a text nor an HTML template; give one of them, or both"
            )
        self._subject = _Source("subject", subject, autoescape=False)
        self._text = None if text is None else _Source("text", text, autoescape=False)
        self._html = None if html is None else _Source("html", html, autoescape=True)

    @property
    def required(self) -> frozenset[str]:
        """The variables that every recipient must have: those used without `is defined` or `default`."""
        return frozenset(name for source in self._sources() for name in source.required)

    def check_columns(self, columns: Collection[str]) -> None:
        """Check that each required variable is among `columns`.

        Raises:
            TemplateInvalid: the message names the first variable that is not, and the columns.
        """
        for source in self._sources():
            source.check_columns(columns)

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """Render the mail of the recipient with these variables.

        Raises:
            TemplateInvalid: the message names the template, the line and the fault.
        """
        subject = " ".join(_CONTROL.sub(" ", self._subject.render(variables)).split())
        if len(subject) > _MAX_SUBJECT:
            raise TemplateInvalid("subject", None, f"renders to more than {_MAX_SUBJECT:,} characters")
        return Rendered(
            subject=subject,
            text=self._text and self._text.render(variables),
            html=self._html and self._html.render(variables),
        )

    def _sources(self) -> Iterator[_Source]:
        return (source for source in (self._subject, self._text, self._html) if source is not None)


class _Source:
    """One template."""

    def __init__(self, name: str, source: str, *, autoescape: bool) -> None:
        if len(source) > MAX_SOURCE:
            raise TemplateInvalid(name, None, f"is longer than {MAX_SOURCE:,} characters")
        self.name = name
        environment = MailEnvironment(autoescape=autoescape)
        try:
            tree = environment.checked(source)
            self._template = Template.from_code(environment, environment.compile(tree, name), {})
            undeclared = find_undeclared_variables(tree)
        except TemplateSyntaxError as error:
            raise TemplateInvalid(name, error.lineno, error.message or "is not a Jinja template") from None
        except (RecursionError, MemoryError):
            raise TemplateInvalid(name, None, "is nested too deeply") from None
        except (SyntaxError, ValueError, OverflowError) as error:  # Jinja passes some faults on to Python unchecked
            raise TemplateInvalid(name, None, f"cannot be compiled: {error}") from None
        self._lines = dict[str, int]()  # where each variable is used first
        for node in tree.find_all(nodes.Name):
            if node.name in undeclared:
                self._lines[node.name] = min(node.lineno, self._lines.get(node.name, node.lineno))
        self.required = frozenset(undeclared - _guarded(tree))

    def check_columns(self, columns: Collection[str]) -> None:
        missing = sorted(self.required.difference(columns), key=lambda name: (self._lines[name], name))
        if missing:
            similar = difflib.get_close_matches(missing[0], columns, n=1)
            hint = f" (did you mean {similar[0]}?)" if similar else ""
            fault = f"there is no column for {missing[0]!r}{hint}; there are: {listed(sorted(columns))}"
            raise TemplateInvalid(self.name, self._lines[missing[0]], fault)

    def render(self, variables: Mapping[str, Any]) -> str:
        pieces, length = list[str](), 0
        try:
            with fresh_budget():
                for piece in self._template.root_render_func(self._template.new_context(dict(variables))):
                    pieces.append(piece)
                    length += len(piece)
                    if length > MAX_OUTPUT:
                        raise OverflowError(f"renders to more than {MAX_OUTPUT:,} characters")
        except Exception as error:  # an operation on a stranger's data may raise anything
            raise TemplateInvalid(self.name, self._line_of(error), str(error) or type(error).__name__) from None
        return "".join(pieces)

    def _line_of(self, error: Exception) -> int | None:
        """Find the template's line that raised the error, in the innermost frame of its code."""
        line, traceback = None, error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__jinja_template__") is self._template:
                line = self._template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


def _guarded(tree: nodes.Template) -> set[str]:
    """Return the variables that may be absent: those tested by `is defined`, or with a `default`."""
    tests = (node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined"))
    defaults = (node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d"))
    return {node.node.name for node in (*tests, *defaults) if isinstance(node.node, nodes.Name)}
