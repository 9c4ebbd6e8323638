"""Takes Jinja out of a text while other programs work on the text, and puts it back.

MJML and CSS inlining read HTML and write it anew. Neither knows Jinja: a `{% for %}` in a table is text at the wrong
place, and a `"` in an expression ends an attribute. So a *placeholder* stands for each construct meanwhile. It is one
word, which survives wherever a text or a value may be. Between tags it is put into a comment, which may be anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jinja2 import Environment, TemplateSyntaxError

from celeriac.families.email.errors import TemplateInvalid

_COMMENT = "c"
_OPENS = {"variable_begin": "value", "block_begin": "statement", "comment_begin": "comment", "raw_begin": "raw"}
_CLOSES = frozenset({"variable_end", "block_end", "comment_end", "raw_begin", "raw_end"})


class PlaceholderLost(Exception):
    """A program has changed a placeholder."""


@dataclass(frozen=True, slots=True)
class Construct:
    """One construct of Jinja. `kind` is value, statement, comment or raw (the begin or the end of a raw block).

    `word` is the statement's first word (`for`, `endif`), else empty. `line` is the line in the template.
    """

    kind: str
    source: str
    line: int
    word: str = ""


class Placeholders:
    """A template with placeholders for its constructs.

    Attributes:
        text: the template; each construct is `<prefix><number>q` there.
        constructs: the constructs by number.
    """

    def __init__(self, name: str, source: str) -> None:
        """`name` names the template in errors.

        Raises:
            TemplateInvalid: it is no Jinja template.
        """
        source = source.replace("\r\n", "\n").replace("\r", "\n")
        self.prefix = next(word for n in range(len(source) + 1) if (word := f"q{n}jinja") not in source)
        self.constructs: list[Construct] = []
        parts: list[str] = []
        try:
            for part in _parts(source):
                if isinstance(part, str):
                    parts.append(part)
                else:
                    parts.append(self.add(part))
        except TemplateSyntaxError as error:
            raise TemplateInvalid(name, error.lineno, error.message or "is not a Jinja template") from None
        self.text = "".join(parts)

    def add(self, construct: Construct) -> str:
        """Keep a construct, or anything else, and return its placeholder."""
        self.constructs.append(construct)
        return f"{self.prefix}{len(self.constructs) - 1}q"

    def split(self, text: str) -> Iterator[str | int]:
        """Yield the text around placeholders, and the numbers of the placeholders.

        Raises:
            PlaceholderLost: there is a part of a placeholder.
        """
        pieces = text.split(self.prefix)
        yield pieces[0]
        for piece in pieces[1:]:
            number, _, rest = piece.removeprefix(_COMMENT).partition("q")
            if not number.isdecimal() or int(number) >= len(self.constructs):
                raise PlaceholderLost(number)
            yield int(number)
            yield rest

    def numbers(self, text: str) -> list[int]:
        """Return the numbers of the placeholders in the text, in its order."""
        return [part for part in self.split(text) if isinstance(part, int)]

    def replace(self, text: str, by: Callable[[int], str]) -> str:
        """Return the text with another text for each placeholder."""
        return "".join(by(part) if isinstance(part, int) else part for part in self.split(text))

    def as_comment(self, number: int) -> str:
        """Return the placeholder in a comment, as it may be anywhere between tags."""
        return f"<!--{self.prefix}{_COMMENT}{number}q-->"

    def is_comment(self, text: str) -> bool:
        """Return whether the text is a placeholder in a comment, and nothing else."""
        return text.startswith(f"<!--{self.prefix}{_COMMENT}")

    def put_back(self, text: str) -> str:
        """Return the text with all constructs put back, also where comments hold their places."""
        pieces = text.split(self.prefix)
        whole = [pieces[0]]
        for piece in pieces[1:]:
            number, _, rest = piece.partition("q")
            if number[:1] == _COMMENT:
                whole[-1] = whole[-1].removesuffix("<!--")
                rest = rest.removeprefix("-->")
            whole += [self.constructs[int(number.removeprefix(_COMMENT))].source, rest]
        return "".join(whole)

    def line(self, text: str, offset: int) -> int:
        """Return the line of the template at this offset of a text with placeholders."""
        begin = text.rfind(self.prefix, 0, offset)
        if begin >= 0 and "q" not in text[begin + len(self.prefix) : offset]:  # amid a placeholder
            offset = begin
        return self.put_back(self.put_back(text[:offset])).count("\n") + 1

    def statements(self, numbers: Sequence[int]) -> list[int]:
        """Return those that are statements."""
        return [number for number in numbers if self.constructs[number].kind == "statement"]


def _parts(source: str) -> Iterator[str | Construct]:
    """Yield the texts and the constructs of a template. It is only cut into tokens, not parsed."""
    tokens, at = Environment(autoescape=True, keep_trailing_newline=True).lex(source), 0
    for line, kind, value in tokens:
        start = source.index(value, at)
        if at < start:  # white space that `-` takes away, but not here
            yield source[at:start]
        at = start + len(value)
        if kind not in _OPENS:
            yield Construct("raw", value, line) if kind == "raw_end" else value
            continue
        word = ""
        if kind != "raw_begin":
            for _, inner, piece in tokens:
                at = source.index(piece, at) + len(piece)
                if inner == "name" and not word and kind == "block_begin":
                    word = piece
                if inner in _CLOSES:
                    break
        yield Construct(_OPENS[kind], source[start:at], line, word)
