"""Every regular expression takes time in proportion to the text, whatever the text."""

from __future__ import annotations

import ast
import re
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from celeriac.launch.worker import worker_options
from tests.support.source import nodes_of, tree_of

ROOT = Path(__file__).parents[2]
SEARCHES = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})

#: Characters of a hostile text, and seconds of CPU for it: linear ones take some milliseconds, quadratic ones minutes.
LENGTH = 100_000
SECONDS = 1.0


def flag(letter: str) -> str:
    return worker_options._FLAG.format(letter=letter)  # pyright: ignore[reportPrivateUsage]


LIST_LINK = "<(?i:https?://|mailto:)[!-;=?-~]+>"
ATEXT = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"

#: How it is searched for, the expression, and texts that are bad for it: a beginning, a piece that is repeated, an end.
#: One that is not in this list fails the test below: add it.
EXPRESSIONS: list[tuple[str, str | bytes, list[tuple[str, str, str]]]] = [
    ("search", """[&<>"']""", [("", "a", "")]),
    ("findall", r"[^\n]*\n|[^\n]+", [("", "a", ""), ("", "\n", ""), ("", "a\n", "a")]),
    ("sub", r"\bv\.(\w+)", [("", "v.", ""), ("v.", "a", ""), ("", "v", ".")]),
    (
        "fullmatch",
        rf"({ATEXT}(?:\.{ATEXT})*)@([A-Za-z0-9.\-]+)",
        [("", "a", ""), ("", "a.", "@"), ("a@", "a.", "!"), ("a@", "-", "@")],
    ),
    (
        "fullmatch",
        r"(?:.+\.)?(?:localhost|local|test)",
        [("", ".", ""), ("", "local.", ""), ("", "localhos", ""), ("", "a", "")],
    ),
    (
        "fullmatch",
        f"{LIST_LINK}(?: *, *{LIST_LINK})*",
        [("", "<", ""), ("<mailto:", "a", ""), ("", "<mailto:a>,", ""), ("<mailto:a>", " ", "")],
    ),
    ("fullmatch", r'"((?:[^"\\]|\\.)*)"', [('"', "a", ""), ('"', "\\", ""), ('"', '\\"', "!")]),
    ("sub", r"\\(.)", [("", "\\", ""), ("", "a", "")]),
    ("fullmatch", r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", [("", "a", "-"), ("", "-", "")]),
    ("fullmatch", r"[0-9]+|0[xX][0-9A-Fa-f]*", [("", "0", "!"), ("0x", "0", "!")]),
    ("fullmatch", r"[1-9][0-9]{0,4}", [("", "1", "!")]),
    (
        "search",
        r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])",
        [("", "5.1", ""), ("", "5.1.1.", ""), ("", "5", "")],
    ),
    ("fullmatch", r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", [("", "a", ""), ("a", "-", "!")]),
    ("findall", r"[+/]([A-Za-z2-7]{48})(?![A-Za-z2-7])", [("", "+a", ""), ("+", "a", ""), ("", "+", "")]),
    (
        "fullmatch",
        r"sns\.[a-z]{2}(-[a-z]{3,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?",
        [("sns.", "a", ""), ("", "sns.", ""), ("sns.aa", "-aaa", ""), ("sns.aa-", "a", "")],
    ),
    (
        "fullmatch",
        r"arn:aws[a-z-]{0,10}:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}",
        [("arn:aws", "a", ""), ("arn:aws:sns:a:123456789012:", "a", "!")],
    ),
    ("fullmatch", r"[A-Za-z0-9._-]{1,15}", [("", "a", ""), ("", ".", "!")]),
    ("fullmatch", r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", [("", "a", "!"), ("", "a.", ""), ("", "-", ".")]),
    ("fullmatch", r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*", [("", "a", "!"), ("", "a.", ""), ("", "-", ".")]),
    ("match", r"[\s/]*", [("", " ", "a"), ("", "/", "a")]),
    ("match", r"[^\s/>]*", [("", "a", ">")]),
    ("match", r"=?[^\s/>=]*", [("", "a", ">"), ("=", "a", "=")]),
    ("match", r"\s*=\s*", [("", " ", "a"), ("=", " ", "a")]),
    ("match", r"[^\s>]*", [("", "a", ">")]),
    ("search", r"""/\*|\\.|["'{};]""", [("", "/", ""), ("", "\\", ""), ("", "a", "")]),
    ("search", r"""\\.|["'\n]""", [("", "\\", ""), ("", "a", "")]),
    (
        "findall",
        r"""(?:^|[\s(,'"])[cC][iI][dD]:([\w.@+-]*)""",
        [("", " cid:", ""), (" cid:", "a", ""), ("", " ci", "")],
    ),
    ("sub", "[ \t\r\n\f\v\xa0\u2000-\u200a\u202f]+", [("", " ", "a"), ("", " a", "")]),
    ("sub", "[\u00ad\u034f\u200b-\u200f\u2060\ufeff]+", [("", "\u200b", "a"), ("", "\u200ba", "")]),
    ("sub", "\x05[ \x1c-\x1f]*", [("", "\x05", ""), ("\x05", " ", ""), ("", "\x05 ", "")]),
    (
        "sub",
        " ?[\x1c-\x1f][ \x1c-\x1f]*",
        [("", " ", "a"), ("", "\x1c", ""), ("", "\x1c ", "a"), ("", " a", "")],
    ),
    ("fullmatch", r"[a-z][a-z0-9_]{0,39}", [("", "a", ""), ("a", "-", "!")]),
    ("fullmatch", r"[a-z0-9][a-z0-9_-]{0,39}", [("", "a", ""), ("a", "-", "!")]),
    (
        "search",
        "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|\ue000[\\s=+\\-@\uff1d\uff0b\uff0d\uff20]",
        [("", "a", ""), ("", "\ue000a", "")],
    ),
    ("fullmatch", r"[+-]?\d+([.,]\d+)*%?", [("", "1", "!"), ("", "1.", "!"), ("", "11,", "")]),
    ("match", r"(<\?xml|<!--|<!DOCTYPE svg|<svg)", [("", "<!-", "")]),
    (
        "search",
        r"^id_|(^|[_\W])(ids?|no|num[eé]ro|identifiant|year|month|quarter|week|weekday|day|hour|jahr|monat|quartal|woche|tag"
        r"|ann[eé]e|mois|zip|plz|postleitzahl|code_postal|phone|telefon|t[eé]l[eé]phone|mobile|fax|sku|isbn|ean|version|index)$"
        r"|(nr|number|nummer|code|番号|コード|年|年度|月|رقم|سنة|رمز)$",
        [("", "_id", "!"), ("", "id", ""), ("", "nr", "!"), ("", "_", "!")],
    ),
    (
        "search",
        r"(^|[_\W])(unit_price|st[uü]ckpreis|einzelpreis|prix_unitaire|rate|ratio|score|rating|age|alter|lat|latitude|lng|lon"
        r"|longitude|temperature|temperatur|avg|average|mean|median|min|max|rank|単価|平均)($|_)",
        [("", "_rate", "!"), ("", "_ra", ""), ("", "_", "!")],
    ),
    (
        "search",
        r"(^|[_\W])(amount|total|subtotal|revenue|turnover|sales|price|cost|costs|net|gross|profit|budget|value)($|[_\W])"
        r"|(betrag|umsatz|erl[oö]s|preis|kosten|summe|netto|brutto|gewinn|wert|montant|prix|co[uû]t|chiffre_d_affaires)"
        r"($|[_\W])|金額|売上|مبلغ",
        [("", "_amount", "!"), ("", "preis", ""), ("", "chiffre_", ""), ("", "_", "!")],
    ),
    ("fullmatch", r"[dmy]{1,4}[./-][dmy]{1,4}[./-][dmy]{1,4}", [("", "d", ""), ("", "d.", "")]),
    (
        "sub",
        r"(?<=\w{3})(?=(?:sch|(?<!s)ch|ph|th|qu|(?<![cpt])h|[bcdfgjklmnpqrstvwxzßñç])[aeiouyäöüàâáãåæèéêëìíîïòóôõøùúû]\w)",
        [("", "scha", ""), ("", "sc", ""), ("", "b", "!")],
    ),
    ("fullmatch", r"[A-Za-z\xaa-\xff\u0100-\u024f]+", [("", "a", "!")]),
    ("sub", "y+", [("", "y", ""), ("", "yd", "")]),
    ("sub", r"(?<=[a-z\d])(?=[A-Z])", [("", "aA", ""), ("", "a", "")]),
    (
        "search",
        r"(name|nom|e-?mail|street|address|strasse|straße|adresse|phone|notes?|comments?)$",
        [("", "name", "!"), ("", "e-mai", ""), ("", "note", "!")],
    ),
    ("sub", r"0\.00", [("", "0", ""), ("", "0.0", "")]),
    ("sub", r"[_\s]+", [("", "_", "a"), ("", "a ", "")]),
    ("sub", r"[^\w -]", [("", "a", ""), ("", "!", "")]),
    (
        "sub",
        "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]",
        [("", "a", ""), ("", "\x00", "")],
    ),
    ("sub", r"[\t\r\n\u2028\u2029]+", [("", "\n", "a"), ("", "a\n", "")]),
    ("sub", "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", [("", "a", ""), ("", "\x00", "")]),
    ("sub", r"[^\s\u200b-]{24,}", [("", "a", " "), ("", "a" * 23 + " ", "")]),
    (
        "findall",
        rb"""\sr\s?=\s?["']([A-Za-z]{0,7})([0-9]{1,11})""",
        [
            ("", ' r="', ""),
            ("", " r ", ""),
            ("", " r = ", ""),
            ("", ' r="A', ""),
            ("", ' r="A1', ""),
            (' r="', "1", ""),
            ("", " ", ""),
        ],
    ),
    ("sub", r".{12}", [("", "a", "")]),
    ("search", r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", [("", " ", "")]),
    ("sub", r"[\x00-\x1f\x7f-\x9f]", [("", "\n", ""), ("", " ", "")]),
    ("search", "[\x00\ud800-\udfff]", [("", "\ud7ff", "")]),
    (
        "fullmatch",
        r"(?:[^%]++|%%|%[-+ 0]{0,3}(?:[1-9]\d?)?(?:\.\d{0,2})?[dfs])*+",
        [("", piece, "%") for piece in ("%00d", "% 0d", "%%", "a", "%d", "%0.0f", "%10.s")] + [("%", "0", "")],
    ),
    ("fullmatch", r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*", [("", "a", "!"), ("", "a.", ""), ("", "aa.", "!")]),
    ("fullmatch", r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]*", [("", " ", "\n")]),
    ("search", r"[\r\n]", [("", " ", "")]),
    ("sub", r"\W+", [("", " ", ""), ("", " a", "")]),
    ("fullmatch", r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", [("", "a", ""), ("", "a.", ""), ("", "aa.", "!")]),
    ("match", r"[A-Za-z0-9_.\-]{1,200}\Z", [("", "a", "")]),
    ("fullmatch", r"bytes=(\d{0,19})-(\d{0,19})", [("bytes=", "0", ""), ("bytes=0-", "0", "x")]),
    ("sub", r"[^\w.\-]", [("", " ", ""), ("", "a", "")]),
    ("match", r"[A-Za-z0-9][A-Za-z0-9_.:\-]{0,127}\Z", [("", "a", ""), ("a", ":", "")]),
    (
        "match",
        rb'\A\{(?:"celeriac-redelivered":(\d+),)?(?:"celeriac-limited":"(?:[^"\\]|\\.)*",)?',
        [
            ("", '{"celeriac-redelivered":', ""),
            ('{"celeriac-redelivered":', "1", ""),
            ('{"celeriac-limited":"', "a", ""),
            ('{"celeriac-limited":"', "\\", ""),
        ],
    ),
    ("match", rb"(\d{1,9}):", [("", "1", "")]),
    ("fullmatch", f"--beat|{flag('B')}", [("-", "B", "x"), ("-", "D", "x"), ("-", "DEB", "x")]),
    ("fullmatch", f"--detach|{flag('D')}", [("-", "D", "x"), ("-", "B", "x"), ("-", "DEB", "x")]),
    ("fullmatch", "--purge|--discard", [("", "--purge", "")]),
    ("search", r"beat: Starting", [("", "beat: ", ""), ("", "beat: Startin", "")]),
    # Over text of our own: the Lua scripts, and the name of a module.
    ("findall", r"^local function .*?^end\n", []),
    ("sub", r"--.*", [("", "-", ""), ("", "--\n", "")]),
    ("findall", r"\w+", [("", "a", "")]),
    ("sub", r"WIDTH\.(\w+)", []),
    (
        "findall",
        r"local (?:function \w+\(([\w\s,]+)\)|([\w\s,]+?)\s*=\s*unpack\(ARGV[^\n]*\)) -- fields: (\w+)(?: from (\w+))?",
        [],
    ),
    # SPF.
    ("fullmatch", r"([+\-~?]?)([A-Za-z][A-Za-z0-9]*)([\s\S]*)", [("", "a", "\n"), ("", "-", "")]),
    ("fullmatch", r"([A-Za-z][A-Za-z0-9_.\-]*)=([!-~]*)", [("", "a", ""), ("a", "=", " "), ("a=", "a", " ")]),
    (
        "sub",
        r"%(?:\{([slodihpvSLODIHPV])([0-9]{0,3})(r?)([.\-+,/_=]*)\}|([%_\-]))",
        [("", "%", ""), ("", "%{s", ""), ("%{d", "-", ""), ("", "%{d1r", "}")],
    ),
    ("fullmatch", r"(?:/([0-9]{1,2}))?(?://([0-9]{1,3}))?", [("", "/", ""), ("/", "1", "")]),
    # The mail server of the demonstration.
    (
        "search",
        rb"^Message-ID:\s*(\S+)",
        [("", "Message-ID:", ""), ("", "Message-ID:\n", ""), ("Message-ID:", " ", "")],
    ),
    (
        "match",
        rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+',
        [("", '"', ""), ("", 'a"', ""), ('"', "a", ""), ('"', "\\", ""), ('"', "a\\n", ""), ("", '"a"b', '"')],
    ),
    ("match", rb'[^"{}\[\],:]*+', [("", "a", ""), ("", "a", '"')]),
    (
        "finditer",
        rb'"(?:[^"\\]++|\\.?)*+"?|[\[{\]}]',
        [("", "[", ""), ('"', "a", ""), ('"', '\\"', ""), ('"', "\\", ""), ("", '"[', "\\"), ("", "a", "")],
    ),
    ("match", rb'(?:[^"\\]++|\\.)*+', [("", "a", ""), ("", "\\", ""), ("", "a\\", ""), ("", "a\\n", "\\")]),
]

#: Expressions that a class is given, by where they are given to it.
GIVEN = {"src/celeriac/launch/supervision/probes.py": r"LogProbe, r\"([^\"]*)\""}


def in_the_source() -> Iterator[tuple[str, set[str], str | bytes | None]]:
    """Where each regular expression is, how it is searched for if that shows, and itself if that shows."""
    for path in sorted(path for folder in ("src", "demo", "examples") for path in (ROOT / folder).rglob("*.py")):
        tree = tree_of(path)
        constants: dict[str, ast.expr] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                constants[node.targets[0].id] = node.value
        for node in nodes_of(tree):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "re"), f"{path}: say `import re`"
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="compile")):
                    name = next((name for name, value in constants.items() if value is node), None)
                    searches = {
                        used.attr
                        for used in nodes_of(tree)
                        if isinstance(used, ast.Attribute)
                        and isinstance(used.value, ast.Name)
                        and used.value.id == name
                    }
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=search)) if search in SEARCHES:
                    searches = {search}
                case _:
                    continue
            yield f"{path.relative_to(ROOT)}", searches, written(node.args[0], constants)


def written(node: ast.expr, constants: dict[str, ast.expr]) -> Any:
    """The text of an expression: a constant, or an f-string in which constants of the module are put in."""
    match node:
        case ast.Constant(value=text):
            return text
        case ast.JoinedStr():
            return "".join(written(part, constants) for part in node.values)
        case ast.FormattedValue(value=ast.Name(id=name)) if name in constants:
            return written(constants[name], constants)
        case ast.FormattedValue(
            value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format"), keywords=words)
        ):
            return written(constants[name], constants).format(
                **{str(w.arg): written(w.value, constants) for w in words}
            )
        case ast.FormattedValue():
            return "{" + ast.unparse(node.value) + "}"
        case _:
            return None


def test_every_regular_expression_is_listed_with_texts_that_are_bad_for_it() -> None:
    found = list(in_the_source())
    assert {place for place, _, expression in found if expression is None} == GIVEN.keys()
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    given = {text for pattern in GIVEN.values() for source in sources for text in re.findall(pattern, source)}
    written_there = {expression for _, _, expression in found if expression is not None} | given
    listed = {expression: search for search, expression, _ in EXPRESSIONS}
    assert written_there - listed.keys() == set(), "list it in EXPRESSIONS, with texts that are bad for it"
    assert listed.keys() - written_there == set(), "it is gone from the source"
    for place, searches, expression in found:
        assert expression is None or searches <= {listed[expression]}, (place, expression)


@pytest.mark.parametrize(
    ("search", "expression", "start", "piece", "end"),
    [(search, expression, *text) for search, expression, texts in EXPRESSIONS for text in texts],
    ids=lambda value: ascii(value)[:30],
)
def test_a_hostile_text_takes_no_longer_than_another(
    search: str, expression: str | bytes, start: str, piece: str, end: str
) -> None:
    text = start + piece * (LENGTH // len(piece)) + end
    flags = re.MULTILINE | re.IGNORECASE if expression[:1] == b"^" else re.NOFLAG
    compiled: Any = re.compile(expression, flags)
    with cpu_limit(SECONDS):
        arguments = ("_", text) if search == "sub" else (text.encode() if isinstance(expression, bytes) else text,)
        getattr(compiled, search)(*arguments)


@pytest.mark.parametrize(
    ("expression", "text"), [(r"\s*(.*?)\s*<", " " * LENGTH), (r"(%[ 0]{0,3}\d{0,2}d)*", "%00d" * 40 + "%")]
)
def test_one_that_takes_longer_is_noticed(expression: str, text: str) -> None:
    with pytest.raises(TimeoutError), cpu_limit(0.05):
        re.fullmatch(expression, text)


@contextmanager
def cpu_limit(seconds: float) -> Generator[None]:
    """Raise TimeoutError once this process has used so many seconds of CPU, in the middle of a search too."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"used {seconds:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
