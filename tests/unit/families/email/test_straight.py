"""Templates that are rendered without Jinja: byte for byte what Jinja's rendering gives."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.message import quoted_printable
from celeriac.families.email.sandbox import MAX_OUTPUT, MailEnvironment, fresh_budget
from celeriac.families.email.straight import Straight
from celeriac.families.email.templates import MailTemplates

LONG = "".join(f"line {number} of what never changes, " + "ü" * (number % 90) + "\n" for number in range(60))
TEMPLATES = [
    "",
    "\n",
    "x",
    "{{ name }}",
    "{{ name }}\n",
    "Dear {{ name }},\n\nyour order {{ order }} is 100 % on its way.\n",
    "{{ name }}{{ order }} {{ name }}\n.\n..\n{{ order }}",
    f"{LONG}{{{{ name }}}}\n{LONG}",
    f"{{{{ name }}}}{LONG}{{{{ order }}}}\nshort\n{{{{ name }}}}\n{LONG}{{{{ name }}}}",
    f"a\n{LONG}b",
    '<p title="{{ name }}">{{ name }}</p>  \n\t\n{# nobody sees it #}trailing \n\n\n',
    "%s %(name)s %% {{ name }} {\x0b}\x1c\x85\u2028{{ order }}\n",
]
VALUES: list[Any] = [
    "Ada", "", "\n", "\r", "a\r\nb", "\r\nx\r", "<b>&\"'</b>", "ü" * 100, "=20", ".", "\n.\n", "x " * 60, "{{ name }}",
    "%s", "\x00\x7f", "\ud800", 0, -17, 2**63, True, 1.5, None, [], {"a": 1}, 2**4000,
]  # fmt: skip


def jinjas(source: str, variables: dict[str, Any], *, escaped: bool) -> str:
    environment = MailEnvironment(autoescape=escaped)
    template = environment.from_string(source)
    with fresh_budget():
        return template.render(variables)


def straight(source: str, *, escaped: bool) -> Straight | None:
    return Straight.of(MailEnvironment(autoescape=escaped).checked(source), escaped=escaped, encode=quoted_printable)


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("source", TEMPLATES)
def test_it_renders_and_encodes_as_jinja_does(source: str, escaped: bool) -> None:
    template = straight(source, escaped=escaped)
    assert template is not None
    for value in VALUES:
        variables = {"name": value, "order": "1001\n", "other": "x"}
        rendered, encoded = template.render(variables), template.encoded(variables)
        assert (rendered is None) == (encoded is None)
        if rendered is not None and encoded is not None:
            assert rendered == jinjas(source, variables, escaped=escaped)
            assert encoded == quoted_printable(rendered)
        else:
            assert type(value) not in (str, int) or value == 2**4000


@pytest.mark.parametrize(
    "source",
    ["{{ name|upper }}", "{% if name %}x{% endif %}", "{{ name.first }}", "{{ 'x' }}", "{{ self }}", "{{ loop }}",
     "{% set a = 1 %}", "{{ name + 'x' }}", "{% for a in name %}{% endfor %}"],
)  # fmt: skip
def test_whatever_does_more_is_left_to_jinja(source: str) -> None:
    assert straight(source, escaped=True) is None


def test_what_is_missing_or_too_long_is_left_to_jinja_which_says_so() -> None:
    template = straight("{{ name }}!", escaped=False)
    assert template is not None
    assert (template.render({}), template.encoded({})) == (None, None)
    assert template.render({"name": "x" * MAX_OUTPUT}) is None
    assert template.encoded({"name": "x" * MAX_OUTPUT}) is None
    mail = MailTemplates(subject="Hello", text="Dear\n{{ name }}", html=None)
    for render in (mail.render, mail.encoded):
        with pytest.raises(TemplateInvalid, match="text template, line 2: 'name' is undefined"):
            render({})


def test_a_mail_is_encoded_as_it_is_rendered() -> None:
    for text, html in (
        ("Dear {{ name }}", None),
        (None, "<p>{{ name }}</p>"),
        ("{{ name|upper }}", "<p>{{ name }}</p>"),
    ):
        mail = MailTemplates(subject="Hello {{ name }}", text=text, html=html)
        rendered, encoded = mail.render({"name": "Ada & Ü"}), mail.encoded({"name": "Ada & Ü"})
        assert encoded.subject == rendered.subject
        assert encoded.text == (None if rendered.text is None else quoted_printable(rendered.text))
        assert encoded.html == (None if rendered.html is None else quoted_printable(rendered.html))


def test_only_mails_without_anything_that_may_take_long_are_straight() -> None:
    assert MailTemplates(subject="{{ a }}", text="{{ b }}", html="<p>{{ c }}</p>").is_straight
    assert MailTemplates(subject="{{ a }}", text="{{ b }}", html=None).is_straight
    assert not MailTemplates(subject="{{ a|upper }}", text="{{ b }}", html=None).is_straight
    assert not MailTemplates(subject="{{ a }}", text="x", html="{% if b %}x{% endif %}").is_straight
    assert not MailTemplates(subject="{{ a }}", text=None, html="<p>{{ c }}</p>").is_straight, "its text is made"
