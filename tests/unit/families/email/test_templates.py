"""Templates: what they can do, and how faults are named."""

import itertools
from typing import Any

import pytest

from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.templates import MailTemplates, Rendered


def render(text: str, subject: str = "s", html: str | None = None, **variables: Any) -> Rendered:
    return MailTemplates(subject=subject, text=text, html=html).render(variables)


def fault(text: str | None = "x", subject: str = "s", html: str | None = None, **variables: Any) -> TemplateInvalid:
    with pytest.raises(TemplateInvalid) as caught:
        MailTemplates(subject=subject, text=text, html=html).render(variables)
    return caught.value


def test_values_are_escaped_in_html_only() -> None:
    rendered = render("{{ name }}", subject="{{ name }}", html="<b>{{ name }}</b>", name="<Ann & Bob>")
    assert rendered == Rendered("<Ann & Bob>", "<Ann & Bob>", "<b>&lt;Ann &amp; Bob&gt;</b>")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ name }}", "Ann"),
        ("{{ name|upper }} {{ name[:2] }} {{ name[-1] }}", "ANN An n"),
        ("{% if vip %}VIP {% else %}{% endif %}{{ name }}", "VIP Ann"),
        ("{{ 'Dear' if vip else 'Hi' }}", "Dear"),
        ("{% for o in orders %}{{ loop.index }}/{{ loop.length }} {{ o.id }};{% endfor %}", "1/2 7;2/2 8;"),
        ("{% for o in orders if o.id > 7 %}{{ o['id'] }}{% else %}none{% endfor %}", "8"),
        ("{% for k, v in address|dictsort %}{{ k }}={{ v }} {% endfor %}", "city=Köln zip=5 "),
        ("{% set total = price * 2 + 1 %}{{ total }}", "6.0"),
        ("{{ '%.2f'|format(price) }} {{ price|round(1) }} {{ 7 // 2 }} {{ 7 % 4 }} {{ -3|abs }}", "2.50 2.5 3 3 3"),
        ("{{ name ~ '-' ~ price ~ nothing }}", "Ann-2.5"),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ orders|map(attribute='id')|join(', ') }} {{ orders|sum('id') }} {{ orders|length }}", "7, 8 15 2"),
        ("{{ missing|default('there') }} {% if missing is defined %}x{% endif %}", "there "),
        ("{{ nothing }}", ""),
        ("{{ 'x' in ['x', 'y'] }} {{ 4 is odd }} {{ 5 is odd }}", "True False True"),
        ("{% raw %}{{ x }}{% endraw %}{# comment #}", "{{ x }}"),
        ("{{ name|replace('n', 'm')|title|truncate(10) }}", "Amm"),
        ("{{ tags|sort|unique|list|join('/') }} {{ tags|first }} {{ tags|reverse|join }}", "a/b b abb"),
    ],
)
def test_templates_can_do_what_mail_needs(template: str, expected: str) -> None:
    variables = {
        "name": "Ann",
        "vip": True,
        "orders": [{"id": 7}, {"id": 8}],
        "address": {"zip": 5, "city": "Köln"},
        "price": 2.5,
        "nothing": None,
        "tags": ["b", "b", "a"],
    }
    assert render(template, **variables).text == expected


def test_escaping_is_jinjas_where_texts_are_put_together() -> None:
    html = "{{ names|join(', ') }}|{{ names|join('<br>'|safe) }}|{{ '<i>' ~ name }}|{{ name|replace('&', '<') }}"
    assert render("x", html=html, names=["<a>", "b"], name="A&B").html == (
        "&lt;a&gt;, b|&lt;a&gt;<br>b|&lt;i&gt;A&amp;B|A&lt;B"
    )


def test_the_subject_is_one_line_whatever_the_data() -> None:
    rendered = render("x", subject=" Hello\n {{ name }} ", name="Ann\r\nBcc: all@example.com\x00\u2028x")
    assert rendered.subject == "Hello Ann Bcc: all@example.com x"


@pytest.mark.parametrize(
    ("template", "line", "message"),
    [
        ("a\nb {{ name", 2, "unexpected end of template"),
        ("a\n{% if x %}\n", 2, "Unexpected end of template"),
        ("{{ 1 + }}", 1, "unexpected"),
        ("a\n\n{{ name.upper() }}", 3, "functions and methods cannot be called; use a filter"),
        ("{% include 'x' %}", 1, "{% include %} is not available"),
        ("{{ name|uper }}", 1, "there is no filter 'uper'; there are: abs,"),
        ("{{ name is callable }}", 1, "there is no test 'callable'"),
        ("a\n{{ 1 / zero }}", 2, "division by zero"),
        ("a\nb\n{{ unknown }}", 3, "'unknown' is undefined"),
        ("{{ name.first }}", 1, "has no attribute 'first'"),
        ("{{ names }}", 1, "a list or an object cannot be used as a text"),
        ("{{ name * 2 }}", 1, "the operator * takes numbers"),
        ("{{ name|round }}", 1, "type str"),
    ],
)
def test_a_fault_is_named_with_its_line(template: str, line: int, message: str) -> None:
    error = fault(template, name="Ann", names=["a"], zero=0)
    assert (error.template, error.line) == ("text", line)
    assert message.casefold() in error.fault.casefold()


def test_a_fault_is_named_with_its_template() -> None:
    assert fault(subject="{{").template == "subject"
    assert fault(html="{{").template == "html"
    assert str(fault(html="\n{{ x }}")) == "html template, line 2: 'x' is undefined"
    assert fault(text=None).fault.startswith("there is neither a text nor an HTML template")
    assert "longer than" in fault("x" * 300_000).fault
    assert "1,000 characters" in fault(subject="{{ name }}", name="x" * 1001).fault


def test_variables_are_compared_with_the_columns() -> None:
    templates = MailTemplates(subject="{{ name }}", text="Dear\n{{ nmae }}\n{{ city }}", html=None)
    assert templates.required == {"name", "nmae", "city"}
    with pytest.raises(TemplateInvalid) as caught:
        templates.check_columns(["email", "name", "town"])
    assert (caught.value.template, caught.value.line) == ("text", 2)
    assert caught.value.fault == (
        "there is no column for 'city', 'nmae' (did you mean name?); there are: email, name, town"
    )
    templates.check_columns(["name", "nmae", "city"])


def test_variables_that_the_template_asks_about_are_not_required() -> None:
    text = "{{ a|default('x') }}{% if b is defined %}{{ b }}{% endif %}"
    text += "{% for c in d %}{{ c }}{% endfor %}{% set e = 1 %}{{ e }}"
    assert MailTemplates(subject="s", text=text, html=None).required == {"d"}


def test_rendering_is_repeatable_and_keeps_nothing() -> None:
    templates = MailTemplates(subject="{{ n }}", text="{% set total = n + 1 %}{{ total }}", html=None)
    assert [templates.render({"n": n}).text for n in range(5)] == ["1", "2", "3", "4", "5"]


def test_a_recipients_data_is_not_a_template() -> None:
    assert render("{{ name }}", name="{{ 7 * 7 }}{% include 'x' %}").text == "{{ 7 * 7 }}{% include 'x' %}"


def test_any_column_name_is_harmless() -> None:
    names = ["budget", "\0budget", "_each", "self", "loop", "environment", "context", "range", "__class__", ""]
    for name, template in itertools.product(
        names, ["{% for x in [1, 2] %}{{ x ~ '' }}{{ [1][0:1]|join }}{% endfor %}"]
    ):
        assert render(template, **{name: "x"}).text == "1121"
