"""MJML and CSS, through the real libraries in their process: Jinja survives, and nothing hostile does."""

from __future__ import annotations

import os
from typing import Any

import pytest

from celeriac.families.email.content import Texts, make_content
from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.mjml import compile_mjml
from celeriac.families.email.styles import inline_css
from celeriac.families.email.templates import MailTemplates
from tests.support.slow import quick_first

MJML = """<mjml>
  <mj-head>
    <mj-title>"Orders" of {{ name }} &amp; co</mj-title>
    <mj-preview>{{ orders|length }} orders</mj-preview>
    <mj-style>.red { color: red }</mj-style>
    <mj-style inline="inline">.blue { color: {{ colour }} }</mj-style>
  </mj-head>
  <mj-body>
    {% if vip %}<mj-section><mj-column><mj-text>VIP</mj-text></mj-column></mj-section>{% endif %}
    <mj-section><mj-column>
      <mj-text css-class="red">Dear {{ name }},<br>1 < 2 &nbsp; <img src="{{ picture }}">
        <b class="blue">x</b></mj-text>
      {% for order in orders %}<mj-text>No {{ order.id }}{% if not loop.last %};{% endif %}</mj-text>{% endfor %}
      <mj-table>{% for o in orders %}<tr title='{{ o["id"] }}'><td>{{ o.what }}</td></tr>{% endfor %}</mj-table>
      <mj-raw>{% for order in orders %}<tr><td>raw {{ order.id }}</td></tr>{% endfor %}</mj-raw>
      <mj-button href="https://x.example/{{ id }}?a=1&b={{ name|urlencode }}"
        background-color="{{ colour }}">Go</mj-button>
    </mj-column></mj-section>
  </mj-body>
</mjml>"""
DATA: dict[str, Any] = {
    "name": '<script>alert("x")</script>',
    "id": 7,
    "vip": True,
    "picture": '"><script>',
    "colour": 'red"><script>',
    "orders": [{"id": 1, "what": "<b>pen</b>"}, {"id": 2, "what": "ink"}],
}


async def test_jinja_in_mjml_survives_and_values_are_escaped() -> None:
    content = await make_content(Texts(subject="s", mjml=MJML), ())
    assert content.warnings == []
    html = MailTemplates(subject="s", text=None, html=content.html).render(DATA).html or ""
    assert "<mj-" not in html and "jinja" not in html and "{" not in html.partition("<body")[2]
    assert "<script>" not in html
    assert html.count("VIP") == 1
    assert "No 1;" in html and "No 2<" in html
    assert '<tr title="1"><td>&lt;b&gt;pen&lt;/b&gt;</td></tr><tr title="2"><td>ink</td></tr>' in html
    assert "<tr><td>raw 1</td></tr><tr><td>raw 2</td></tr>" in html
    assert 'href="https://x.example/7?a=1&amp;b=%3Cscript%3E' in html
    assert 'class="blue" style="color: red&#34;&gt;&lt;script&gt;;"' in html  # inlined, and still a value
    assert "color: red;" not in html  # MJML says to leave this one in <style>
    text = MailTemplates(subject="s", text=None, html=content.html).render({**DATA, "name": "Ann"}).text or ""
    assert text.startswith("VIP\n") and "Dear Ann,\n1 < 2 x\n" in text
    assert "Go (https://x.example/7?a=1&b=Ann)" in text and "orders" not in text


@pytest.mark.parametrize(
    ("mjml", "line", "fault"),
    [
        ("", 1, "is no MJML: no element found"),
        ("hello", 1, "is no MJML"),
        ("<mjml></mjml>", 1, "it needs <mjml> with <mj-body> in it"),
        ("<mjml>\n<mj-body>", 2, "is no MJML: no element found"),
        ("<mjml><mj-body></mj-body></mjml>\n\nx", 3, "is no MJML: junk after document element"),
        ("<mjml><mj-body>\n<mj-foo/></mj-body></mjml>", 2, "MJML has no <mj-foo>"),
        ("<mjml><mj-body>\n{{ a\n}}<p>x</p></mj-body></mjml>", 3, "MJML has no <p>; HTML belongs into <mj-text>"),
        ('<mjml><mj-body>\n<mj-include path="/etc/passwd"/></mj-body></mjml>', 2, "<mj-include> is not available"),
        ("<mjml><mj-body>\n<mj-section>\n</mj-body></mjml>", 3, "is no MJML: mismatched tag"),
        ("<mjml><mj-body><mj-section>\n<mj-text>x</mj-section></mj-body></mjml>", 2, "<mj-text> is not closed"),
        ("<mjml><mj-body>\n<mj-section a=b></mj-section></mj-body></mjml>", 2, "is no MJML: not well-formed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><mjml><mj-body/></mjml>', 1, "a document type is not available"),
        ("<mjml><mj-body>" + "<mj-wrapper>" * 5_000 + "</mj-wrapper>" * 5_000, 1, "more than 30 levels deep"),
        ("\n{% if a %}<mjml><mj-body></mj-body></mjml>{% endif %}", 2, "MJML has no place here for {% if a %}"),
        (MJML.replace("<mj-column>", '<mj-column width="{{ w }}">'), 9, "MJML has no place here for {{ w }}"),
        ("<mjml><mj-body>\n{{ 'a</mj-body></mjml>", 2, "unexpected char"),
        ("<mjml><mj-body>\n{% include 'x' %}</mj-body></mjml>", None, ""),
    ],
)
async def test_a_fault_in_mjml_is_named_with_its_line(mjml: str, line: int | None, fault: str) -> None:
    if line is None:  # what the sandbox does not allow is refused before MJML is looked at
        with pytest.raises(TemplateInvalid, match="mjml template, line 2"):
            MailTemplates(subject="s", text=None, html=mjml, html_name="mjml")
        return
    with pytest.raises(TemplateInvalid) as caught:
        await compile_mjml(mjml)
    assert (caught.value.template, caught.value.line) == ("mjml", line), str(caught.value)
    assert fault in caught.value.fault


INLINED = [
    ("<style>p{color:red}</style><p>x</p>", '<p style="color: red;">x</p>'),
    ("<style>p{color:{{ c }}}</style><p>x</p>", '<p style="color: {{ c }};">x</p>'),
    ('<style>p{color:red}</style><p style="{{ a }};b:c">x</p>', '<p style="color: red;{{ a }};b:c">x</p>'),
    ("<style>p{color:red}</style><p style='a;b:\"c\"; :d'>x</p>", '<p style="color: red;a;b:&quot;c&quot;; :d">x</p>'),
    (
        "<style>td{a:b}</style><table>{% for r in rows %}<tr><td>{{ r }}</td></tr>{% endfor %}</table>",
        '<table><tbody>{% for r in rows %}<tr><td style="a: b;">{{ r }}</td></tr>{% endfor %}</tbody></table>',
    ),
    (
        "<style>b{a:b}</style><b title='{{ x|default(\"u\") }}' class={{ c }}>y</b>",
        '<b class="{{ c }}" title="{{ x|default("u") }}" style="a: b;">y</b>',
    ),
    ("<style media=print>p{a:b}</style><style>p{c:d}</style><p>", '<p style="c: d;"></p>'),
    ("<style>p{a:b} p:hover{c:d} @media print{p{e:f}}</style><p>", '<p style="a: b;"></p>'),
]


async def test_the_first_of_two_attributes_counts_as_for_mjml_itself() -> None:
    """Two of MJML's own templates have such elements. XML has none, and our check is one of XML."""
    text = '<mj-text color="red"\n\ncolor="blue\n"   align="right" >Dear {{ name }}</mj-text>'
    mjml = f"<mjml><mj-body><mj-section><mj-column>{text}</mj-column></mj-section></mj-body></mjml>"
    html = (await make_content(Texts(subject="s", mjml=mjml), ())).html or ""
    assert "color:red" in html.replace(" ", "") and "blue" not in html and "Dear {{ name }}" in html
    with pytest.raises(TemplateInvalid) as caught:
        await make_content(Texts(subject="s", mjml=mjml.replace("</mjml>", "<mj-foo/></mjml>")), ())
    assert caught.value.line == 4, "lines are those of the source"


@pytest.mark.parametrize(("html", "body"), INLINED)
async def test_css_is_inlined_around_jinja_and_stays_in_style_too(html: str, body: str) -> None:
    inlined = await inline_css(html)
    assert inlined.warnings == []
    assert inlined.html.endswith(f"<body>{body}</body></html>"), inlined.html
    for sheet in html.split("</style>")[:-1]:
        assert sheet.partition("<style")[2].partition(">")[2] in inlined.html


@pytest.mark.parametrize(
    ("css", "warning"),
    [
        ("x[[{;} p{color:red}", "the CSS rule 'x[[{;}' cannot be read, and stays in <style>"),
        ("p{color:red} {{ cls }}{a:b}", "the CSS rule '{{ cls }}{a:b}' has Jinja before its {, and stays in <style>"),
    ],
)
async def test_a_rule_that_cannot_be_read_stays_in_style_with_a_warning(css: str, warning: str) -> None:
    inlined = await inline_css(f"<style>{css}</style><p>x</p>")
    assert inlined.warnings == [warning]
    assert f"<style>{css}</style>" in inlined.html
    assert '<p style="color: red;">' in inlined.html


@pytest.mark.parametrize(
    ("html", "warning"),
    [
        ("<style>p{a:b}</style><p {% if x %}class=a{% endif %}>", "line 1: Jinja stands in a tag, and not in a value"),
        ("<style>p{a:b}</style>\n{% if x %}<b>{% else %}<i>{% endif %}", "line 2: {% else %} comes before an element"),
        ("<style>{% if x %}p{a:b}{% endif %}</style><p>", "CSS with {% %} stays in <style>"),
        ('<link rel="stylesheet" href="file:///etc/passwd"><p>', "a style sheet with an address is not inlined"),
        ("<style>p{a:b}</style><p data-celeriac-style=0>", "it has an attribute data-celeriac-style"),
        ("<style>p{a:b}</style><td style='{{ x }}'>", "stands where HTML has no place for it"),
        ("<style>p{a:b}</style><table>{% if x %}y{% endif %}<tr>", "stands where HTML has no place for it"),
    ],
)
async def test_html_that_cannot_be_written_anew_is_sent_as_it_is(html: str, warning: str) -> None:
    inlined = await inline_css(html)
    if "<table>" in html:  # HTML moves a text in a table out of it, as every program that shows it does
        assert inlined.html == html or not inlined.warnings
        return
    assert inlined.html == html
    assert len(inlined.warnings) == 1 and warning in inlined.warnings[0]


HOSTILE = {
    "deep HTML": "<style>p{a:b}</style>" + "<b>" * 40_000,
    "rules times elements": "<style>" + "".join(f"p{{a{n}:b}}" for n in range(4_000)) + "</style>" + "<p>" * 20_000,
}


@pytest.mark.parametrize("name", quick_first(list(HOSTILE)))
async def test_hostile_html_ends_its_own_process_only(name: str) -> None:
    with pytest.raises(TemplateInvalid, match="takes too much time or memory to prepare"):
        await inline_css(HOSTILE[name])


async def test_the_process_gets_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("CELERIAC_SMTP_URL", "smtp://user:secret@127.0.0.1")
    (tmp_path / "css_inline.py").write_text("import os, sys; sys.exit(str(dict(os.environ)))")
    monkeypatch.chdir(tmp_path)  # nor modules of the directory that the API runs in
    inlined = await inline_css("<style>p{color:red}</style><p>")
    assert "color: red" in inlined.html
    assert os.environ["CELERIAC_SMTP_URL"]


@pytest.mark.parametrize(
    ("html", "images", "fault"),
    [
        ('<img src="cid:logo">', (), "shows cid:logo, and no inline image has this name; inline_images names none"),
        ("<td background='CID:a'>", ("b", "c"), "shows cid:a, and no inline image has this name; there are: b, c"),
        ("<style>p{background:url(cid:x)}</style>", ("y",), "shows cid:x"),
        ('<img src="cid:{{ a }}">', ("a",), "write the name of an inline image behind cid: out, without Jinja"),
        (None, ("a",), "is missing, and inline_images names images that it is to show"),
    ],
)
async def test_an_image_that_is_not_there_is_refused(html: str | None, images: tuple[str, ...], fault: str) -> None:
    with pytest.raises(TemplateInvalid) as caught:
        await make_content(Texts(subject="s", text="x", html=html, inline_css=False), images)
    assert fault in caught.value.fault


async def test_an_image_that_nothing_shows_and_html_that_is_clipped_are_warned_of() -> None:
    html = '<img src="cid:a"> acid: x' + "x" * 120_000
    content = await make_content(Texts(subject="s", html=html), ("a", "b"))
    assert content.html == html
    assert content.warnings == [
        "the HTML does not show the image 'b'",
        "the HTML has 120,025 bytes; Gmail shows the first 104,448 only",
    ]
