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
from celeriac.families.email.message import quoted_printable
from celeriac.families.email.plain_text import finish, text_of, text_template
from celeriac.families.email.sandbox import MAX_OUTPUT, MailEnvironment, fresh_budget
from celeriac.families.email.straight import Straight

#: Longest source of one template, in characters.
MAX_SOURCE = 262_144

_MAX_SUBJECT = 1_000
_NAMED = 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The texts of one recipient's mail. The subject is one line. If nobody wrote a text, it is made of the HTML."""

    subject: str
    text: str | None
    html: str | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """As `Rendered`, with the texts in quoted-printable."""

    subject: str
    text: bytes | None
    html: bytes | None


@dataclass(slots=True)
class Variable:
    """A variable that templates use: where (template and line), and whether each recipient must have it."""

    name: str
    required: bool
    uses: list[tuple[str, int]]


class MailTemplates:
    """The templates of one mailing, compiled."""

    def __init__(self, *, subject: str, text: str | None, html: str | None, html_name: str = "html") -> None:
        """`html_name` names the template of the HTML in errors: MJML is one, too.

        Raises:
            TemplateInvalid: the message names the template, the line and the fault.
        """
        if text is None and html is None:
            raise TemplateInvalid(
                "text", None, "there is neither a text nor an HTML template; give one of them, or both"
            )
        self._subject = _Source("subject", subject, autoescape=False)
        self._html = None if html is None else _Source(html_name, html, autoescape=True, longest=MAX_OUTPUT)
        self._text = None if text is None else _Source("text", text, autoescape=False)
        self._made_text = None if text is not None or html is None else _made_text(html)

    @property
    def required(self) -> frozenset[str]:
        """The variables that every recipient must have: those used without `is defined` or `default`."""
        return frozenset(name for source in self._sources() for name in source.required)

    def check_columns(self, columns: Collection[str]) -> None:
        """Check that each required variable is among `columns`.

        Raises:
            TemplateInvalid: the message names the variables that are not, and the columns.
        """
        for source in self._sources():
            if source.required.difference(columns):
                missing = self.required.difference(columns)
                raise TemplateInvalid(source.name, source.line_of(missing), _no_columns(missing, columns))

    def variables(self) -> dict[str, Variable]:
        """Return the variables that the templates use, by name."""
        found: dict[str, Variable] = {}
        for source in self._sources():
            for name, line in sorted(source.lines.items()):
                variable = found.setdefault(name, Variable(name, False, []))
                variable.uses.append((source.name, line))
                variable.required = variable.required or name in source.required
        return found

    @property
    def is_straight(self) -> bool:
        """Whether they only put values into texts, so that rendering takes no longer than the text is long."""
        return self._text is not None and all(source.is_straight for source in self._sources())

    def render(self, variables: Mapping[str, Any]) -> Rendered:
        """Render the mail of the recipient with these variables.

        Raises:
            TemplateInvalid: the message names the template, the line and the fault.
        """
        subject, html = self._subject_line(variables), self._html and self._html.render(variables)
        text = self._text.render(variables) if self._text is not None else self._text_of(html, variables)
        return Rendered(subject=subject, text=text, html=html)

    def encoded(self, variables: Mapping[str, Any]) -> Encoded:
        """Render it as `render` does, and encode it. What is the same in each mail was encoded before."""
        if self._text is None:  # it is made of the HTML
            rendered = self.render(variables)
            html = None if rendered.html is None else quoted_printable(rendered.html)
            return Encoded(rendered.subject, None if rendered.text is None else quoted_printable(rendered.text), html)
        html = None if self._html is None else self._html.encoded(variables)
        return Encoded(self._subject_line(variables), self._text.encoded(variables), html)

    def _subject_line(self, variables: Mapping[str, Any]) -> str:
        subject = " ".join(_CONTROL.sub(" ", self._subject.render(variables)).split())
        if len(subject) > _MAX_SUBJECT:
            raise TemplateInvalid("subject", None, f"renders to more than {_MAX_SUBJECT:,} characters")
        return subject

    def _text_of(self, html: str | None, variables: Mapping[str, Any]) -> str | None:
        if self._made_text is not None:
            return finish(self._made_text.render(variables))
        return None if html is None else text_of(html)

    def _sources(self) -> Iterator[_Source]:
        return (source for source in (self._subject, self._text, self._html) if source is not None)


class _Source:
    """One template."""

    def __init__(self, name: str, source: str, *, autoescape: bool, longest: int = MAX_SOURCE) -> None:
        if len(source) > longest:
            raise TemplateInvalid(name, None, f"is longer than {longest:,} characters")
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
        self.lines = dict[str, int]()  # where each variable is used first
        for node in tree.find_all(nodes.Name):
            if node.name in undeclared:
                self.lines[node.name] = min(node.lineno, self.lines.get(node.name, node.lineno))
        self.required = frozenset(undeclared - _guarded(tree))
        self._straight = Straight.of(tree, escaped=autoescape, encode=quoted_printable)

    @property
    def is_straight(self) -> bool:
        """Whether it only puts values into a text."""
        return self._straight is not None

    def line_of(self, variables: Collection[str]) -> int:
        """Return the first line that uses one of these."""
        return min(line for name, line in self.lines.items() if name in variables)

    def encoded(self, variables: Mapping[str, Any]) -> bytes:
        encoded = self._straight and self._straight.encoded(variables)
        return quoted_printable(self.render(variables)) if encoded is None else encoded

    def render(self, variables: Mapping[str, Any]) -> str:
        if self._straight is not None and (text := self._straight.render(variables)) is not None:
            return text
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


def _no_columns(missing: Collection[str], columns: Collection[str]) -> str:
    told: list[str] = []
    for name in sorted(missing)[:_NAMED]:
        similar = difflib.get_close_matches(name, columns, n=1)
        told.append(f"{name!r} (did you mean {similar[0]}?)" if similar else repr(name))
    more = ", ..." if len(missing) > _NAMED else ""
    return f"there is no column for {', '.join(told)}{more}; there are: {listed(sorted(columns))}"


def _made_text(html: str) -> _Source | None:
    """Make a template of the text. None: the text has to be made of each mail's HTML."""
    try:
        template = text_template(html)
        return None if template is None else _Source("html", template, autoescape=False, longest=MAX_OUTPUT)
    except TemplateInvalid:  # the HTML itself compiles
        return None


def _guarded(tree: nodes.Template) -> set[str]:
    """Return the variables that may be absent: those tested by `is defined`, or with a `default`."""
    tests = (node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined"))
    defaults = (node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d"))
    return {node.node.name for node in (*tests, *defaults) if isinstance(node.node, nodes.Name)}
