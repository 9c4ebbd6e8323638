"""Templates with placeholders, and the scanner of HTML: whatever they get, nothing is lost."""

from __future__ import annotations

import random

import pytest

from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.markup import Tag, scan
from celeriac.families.email.placeholders import PlaceholderLost, Placeholders
from celeriac.families.email.structure import structure_fault
from celeriac.families.email.styles import css_rules

PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "-", " ", "\n", "a", '"', "'", "raw", "endraw", "<p>", "<!--", "-->", "if",
    "{%- raw -%}", "{% endraw %}", "{{ x }}", "{% if x %}", "<p", ">", "=", "<style>", "</style>", "</", "/", "<", "&",
]  # fmt: skip


def source(seed: int) -> str:
    chosen = random.Random(seed)
    return "".join(chosen.choice(PIECES) for _ in range(chosen.randrange(30)))


def test_jinja_that_was_taken_out_comes_back_as_it_was() -> None:
    held_some = 0
    for seed in range(3_000):
        try:
            held = Placeholders("html", source(seed))
        except TemplateInvalid:
            continue
        held_some += bool(held.constructs)
        assert held.put_back(held.text) == source(seed)
        assert held.put_back(held.replace(held.text, held.as_comment)) == source(seed)
    assert held_some > 500


def test_the_pieces_of_html_are_all_of_it() -> None:
    for seed in range(3_000):
        html = source(seed)
        assert "".join(html[piece.start : piece.end] for piece in scan(html)) == html


def test_a_placeholder_is_a_word_that_the_template_does_not_have() -> None:
    held = Placeholders("html", "q0jinja {{ a }} q1jinja")
    assert held.text == "q0jinja q2jinja0q q1jinja"
    with pytest.raises(PlaceholderLost):
        held.numbers("q2jinja1q")
    with pytest.raises(PlaceholderLost):
        held.numbers("q2jinj" + "a")


def test_a_line_is_that_of_the_template() -> None:
    held = Placeholders("html", "a\n{{ b\n }}\n<p>")
    assert held.line(held.text, held.text.index("<p>")) == 4
    assert held.constructs[0].line == 2


def test_attributes_are_found_where_they_are() -> None:
    html = """<P Class=x id='a>b' hidden data-x = "q" />"""
    (tag,) = scan(html)
    assert isinstance(tag, Tag)
    assert [(a.name, html[a.value.start : a.value.end]) for a in tag.attributes] == [
        *(("class", "x"), ("id", "a>b"), ("hidden", ""), ("data-x", "q"))
    ]


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<table>{% for a in b %}<tr><td>{{ a }}</td></tr>{% endfor %}</table>", None),
        ("{% if a %}<p>x</p>{% elif b %}y{% else %}<br>{% endif %}", None),
        ('<p class="{% if a %}b{% endif %}">', None),
        ("<p {% if a %}class=b{% endif %}>", "line 1: Jinja stands in a tag"),
        ("<{{ a }}>", "line 1: Jinja stands in a tag"),
        ("\n{% if a %}<div>{% else %}<div>{% endif %}", "line 2: {% else %} comes before an element is closed"),
        ("<div>{% if a %}</div>{% endif %}", "line 1: </div> closes what was opened before"),
        ("<title>{% if a %}</title>{% endif %}", "{% endif %} comes before"),
    ],
)
def test_it_is_known_where_the_structure_depends_on_jinja(html: str, fault: str | None) -> None:
    held = Placeholders("html", html)
    found = structure_fault(held, held.text, list(scan(held.text)))
    assert (found is None) if fault is None else (found is not None and fault in found), found


def test_the_rules_of_a_style_sheet_are_told_apart() -> None:
    sheet = """@import url("a;b.css"); /* } */ p { a: "}"; } @media x { b { c: d } } @font-face { e: f }
    <!-- h1 , h2{i:j;k:l} --> broken[[ { m: n } odd; u{v:'w} x
    y:z} last{a:b"""
    assert list(css_rules(sheet)) == [
        *('p { a: "}"; }', "h1 , h2{i:j;k:l}", "broken[[ { m: n }", "u{v:'w} x\n    y:z}")
    ]
