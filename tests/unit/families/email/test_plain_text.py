"""The plain text that is made of HTML: readable, and the same from a template as from each mail's HTML."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2 import Environment

from celeriac.families.email.plain_text import finish, text_of, text_template
from celeriac.families.email.templates import MailTemplates


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one\n  two</p><p>three</p>", "one two\n\nthree"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a<div>b</div></div>c", "a\nb\nc"),
        ("<h1>Title</h1>text", "Title\n\ntext"),
        ('see <a href="https://shop.example/?a=1&amp;b=2">the shop</a>.', "see the shop (https://shop.example/?a=1&b=2)."),
        ('<a href="https://x.example">https://x.example</a>', "https://x.example"),
        ('<a href="mailto:a@x.example">a@x.example</a> <a href="#top">top</a>', "a@x.example top"),
        ('<a href="https://x.example"><img src=a.png></a>', "https://x.example"),
        ('<a href="https://x.example"><img src=a.png alt="Shop"></a>', "Shop (https://x.example)"),
        ("<ul><li>a</li><li>b<ul><li>c</ul></ul>d", "- a\n- b\n  - c\n\nd"),
        ("<ol><li>a<li><p>b</p></ol>", "1. a\n2. b"),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>", "A | B\n1 | 2"),
        ('<table role="presentation"><tr><td>a</td><td>b</td></tr></table>', "a\nb"),
        ("<table><tr><td><table><tr><td>1<td>2</table></td><td>b</td></tr></table>", "1 | 2\n\nb"),
        ("<head><title>x</title><style>p{}</style></head><p>a</p><script>x</script><!-- y -->", "a"),
        ('<div style="display: none">pre <div>x</div></div><p hidden>y</p><input hidden>a', "a"),
        ("<p>&lt;b&gt; &amp; &eacute;&nbsp;&zwnj;x</p>", "<b> & é x"),
        ("<pre>a  b\n c</pre>", "a  b\n c"),
        ("a<hr>b", "a\n\n--------------------\n\nb"),
        ("a < b > c", "a < b > c"),
        ("", ""),
        ("<p>not closed", "not closed"),
    ],
)  # fmt: skip
def test_it_reads_like_the_html(html: str, text: str) -> None:
    assert text_of(html) == f"{text}\n"


DATA: dict[str, Any] = {
    "name": "A<b>&\n  c",
    "id": 7,
    "url": "https://x.example/?a=1&b=2",
    "orders": ["x", "y<"],
    "vip": True,
}

SAME = [
    "<p>Dear {{ name }},</p><p>see <a href='https://x.example/{{ id }}?a&amp;b'>this</a>.",
    '<a href="{{ url }}">{{ url }}</a>',
    "<ul>{% for o in orders %}<li>{{ o }}</li>{% endfor %}</ul>end",
    "<table><tr><th>A<th>B</tr>{% for o in orders %}<tr><td>{{ o }}</td><td>{{ id }}</td></tr>{% endfor %}</table>",
    "{% if vip %}<p>a</p>{% else %}<p>b</p>{% endif %}<p>c</p>",
    "{% set n = id + 1 %}<p>{{ n }}</p>",
    '<img alt="{{ name }}" src=x> <a href="{% if vip %}https://a.example{% else %}https://b.example{% endif %}">x</a>',
    "<p>{# note #}x</p>",
    '<div style="display:none">{% if vip %}x{% endif %}</div>y',
]  # fmt: skip


@pytest.mark.parametrize("html", SAME)
def test_the_text_of_a_template_is_that_of_each_mail(html: str) -> None:
    template = text_template(html)
    assert template is not None
    of_the_mail = text_of(Environment(autoescape=True).from_string(html).render(DATA))
    assert finish(Environment().from_string(template).render(DATA)) == of_the_mail


DEPENDS = [
    ("<p>{{ body|safe }}</p>", {"body": "<b>x</b><br>y"}, "x\ny"),
    ("{% if vip %}<p>{% else %}<div>{% endif %}a", {"vip": True}, "a"),
    ("<ol>{% for o in orders %}<li>{{ o }}</li>{% endfor %}</ol>", {"orders": ["a", "b"]}, "1. a\n2. b"),
    ("<p {% if vip %}hidden{% endif %}>x</p>y", {"vip": True}, "y"),
    ("<p>&#123;&#123; x }}</p>", {}, "{{ x }}"),
    ("<p>&#123;{{ x }}</p>", {"x": 1}, "{1"),
    ("<div hidden>{% set n = 1 %}</div>{{ n }}", {}, "1"),
    ("{% for o in orders %}<li>{{ o }}{% endfor %}", {"orders": ["a", "b"]}, "- a\n- b"),
]


@pytest.mark.parametrize(("html", "data", "text"), DEPENDS)
def test_what_depends_on_the_data_is_made_of_each_mail(html: str, data: dict[str, Any], text: str) -> None:
    assert text_template(html) is None
    rendered = MailTemplates(subject="s", text=None, html=html).render(data)
    assert rendered.text == f"{text}\n"


def test_values_are_not_escaped_in_the_text_and_cannot_add_marks_up() -> None:
    rendered = MailTemplates(subject="s", text=None, html="<p>Dear {{ name }},</p>").render({"name": "<p>A & B</p>"})
    assert rendered.text == "Dear <p>A & B</p>,\n"
    assert rendered.html == "<p>Dear &lt;p&gt;A &amp; B&lt;/p&gt;,</p>"


def test_a_text_that_somebody_wrote_is_sent_as_it_is() -> None:
    assert MailTemplates(subject="s", text="a  b\n\n\nc", html="<p>x</p>").render({}).text == "a  b\n\n\nc"
