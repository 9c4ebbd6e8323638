"""Templates that try to use up memory or CPU, or to reach into Python: each ends soon, small, and with an error."""

import resource
import subprocess
import sys
import time

import pytest

from celeriac.core.interrupt import run_with_deadline
from celeriac.families.email.errors import TemplateInvalid
from celeriac.families.email.templates import MailTemplates
from tests.support.slow import quick_first

DEADLINE = 2.0
TEN = "[1,2,3,4,5,6,7,8,9,0]"


def nested(levels: int, body: str) -> str:
    return f"{{% for a in {TEN} %}}" * levels + body + "{% endfor %}" * levels


def doubling(seed: str, step: str, times: int = 60) -> str:
    return f"{{% set a = {seed} %}}" + f"{{% set a = {step} %}}" * times + "{{ a|length }}"


BOMBS = {
    "text times number": "{{ 'a' * 10000000000 }}",
    "list times number": "{{ [1] * 10000000000 }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "power by filter": "{{ 2|pow(1000000000) }}",
    "squares": "{% set a = 7 %}" + "{% set a = a * a %}" * 60 + "{{ a }}",
    "printf width": "{{ '%1000000000d' % 1 }}",
    "printf width in odd": "{{ '%1000000000d' is odd }}",
    "printf width in even": "{{ '%1000000000d' is even }}",
    "printf width in divisibleby": "{{ '%1000000000d' is divisibleby(3) }}",
    "printf width in select": "{{ ['%1000000000d']|select('odd')|list }}",
    "printf width in format": "{{ '%1000000000d'|format(1) }}",
    "format read in many ways": "{{ '" + "%00d" * 1000 + "%'|format(1) }}",
    "printf star in format": "{{ '%*d'|format(1000000000, 1) }}",
    "str.format": "{{ '{:>1000000000}'.format(1) }}",
    "format_map": "{{ '{a:>1000000000}'.format_map(x) }}",
    "center": "{{ 'a'|center(10000000000) }}",
    "indent": "{{ 'a'|indent(10000000000, true) }}",
    "wordwrap": "{{ x|wordwrap(1) }}",
    "ljust": "{{ 'a'.ljust(10000000000) }}",
    "tojson indent": "{{ [1]|tojson(indent=1000000000) }}",
    "batch": "{{ [1]|batch(1000000000, 'x')|list }}",
    "slice": "{{ [1]|slice(1000000000)|list }}",
    "lipsum": "{{ lipsum(n=100000) }}",
    "range": "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
    "nested loops": nested(9, "x"),
    "nested loops without output": nested(12, ""),
    "nested loops with output": nested(4, "{{ big }}"),
    "loop over text": "{% for a in big %}{% for b in big %}{% endfor %}{% endfor %}",
    "nested filters of filters": nested(4, "{{ big|list|sort|join|length }}"),
    "concat doubling": doubling("big", "a ~ a"),
    "plus doubling": doubling("big", "a + a"),
    "replace doubling": doubling("big", "a|replace('x', 'xx')"),
    "replace nothing": "{{ big|replace('', big) }}",
    "join by itself": "{{ big|list|join(big) }}",
    "list of lists": "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "sum of lists": "{{ [[1]]|sum(start=[]) }}",
    "escape again and again": doubling("'<'", "a|forceescape", 20_000),
    "urlencode again and again": doubling("big", "a|urlencode", 10_000),
    "copies by slice": "".join(f"{{% set a{n} = big[1:] %}}" for n in range(10_000)),
    "copies by list": "".join(f"{{% set a{n} = big|list %}}" for n in range(10_000)),
    "copies by filter": "".join(f"{{% set a{n} = big|upper %}}" for n in range(10_000)),
    "macro that calls itself": "{% macro a() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
    "recursive loop": "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "block set": "{% set a %}" + nested(9, "x") + "{% endset %}",
    "filter block": "{% filter upper %}" + nested(9, "x") + "{% endfilter %}",
    "call block": "{% call x() %}{% endcall %}",
    "deep parentheses": "{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}",
    "deep brackets": "{{ " + "[" * 100_000 + "]" * 100_000 + " }}",
    "deep sum": "{{ " + "1+" * 100_000 + "1 }}",
    "deep not": "{{ " + "not " * 60_000 + "1 }}",
    "deep minus": "{{ " + "-" * 200_000 + "1 }}",
    "deep filters": "{{ x" + "|upper" * 40_000 + " }}",
    "deep items": "{{ x" + "[0]" * 60_000 + " }}",
    "deep attributes": "{{ x" + ".a" * 100_000 + " }}",
    "deep conditions": "{% if 1 %}" * 20_000 + "{% endif %}" * 10_000,
    "deep loops": "{% for a in [1] %}" * 25 + "x" + "{% endfor %}" * 25,
    "long elif chain": "{% if 0 %}" + "{% elif 0 %}x" * 10_000 + "{% endif %}",
    "many parts": "{{ x }}" * 37_000,
    "a long name": "{{ " + "x" * 200_000 + " }}",
    "huge number": "{{ " + "9" * 200_000 + " }}",
    "huge float": "{{ 1e308 * 10 * 0 }}" + "{{ 1 // 0 }}",
    "round": "{{ 1|round(1000000000) }}",
    "round up": "{{ 1|round(1000000000, 'ceil') }}",
    "int of a long text": "{{ ('9' ~ big)|int(base=36) * 1 }}" + "{{ big.x }}",
    "many comments": "{#" * 100_000,
    "many openings": "{{" * 100_000,
    "many percent signs": "{%" * 100_000,
    "whitespace": "{{ " + " " * 250_000,
    "striptags": nested(4, "{{ tags|striptags|length }}"),
    "compare": nested(4, "{{ big < big ~ 'y' }}"),
    "underscore class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "class by item": "{{ ''['__class__'] }}",
    "class by attr": "{{ ''|attr('__class__') }}",
    "class by map": "{{ ['']|map(attribute='__class__')|list|first }}",
    "globals of a function": "{{ x.__init__.__globals__ }}",
    "self": "{{ self._TemplateReference__context }}",
    "undefined's innards": "{{ (nothing|default).__class__ }}",
    "loop's innards": "{% for a in [1] %}{{ loop._iterable }}{% endfor %}",
    "cycler": "{{ cycler.__init__.__globals__.os }}",
    "namespace": "{% set ns = namespace(a=1) %}",
    "internal filter by map": "{{ [big]|map('_concat', big)|list|first|length }}{{ nothing }}",
    "import": "{% import 'os' as os %}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends '/etc/passwd' %}",
    "autoescape": "{% autoescape false %}{{ x }}{% endautoescape %}",
    "unpacked arguments": "{{ x|join(*[1]) }}",
    "dictionary": "{{ {'a': 1} }}",
    "assignment to an attribute": "{% set x.a = 1 %}",
}


@pytest.fixture(autouse=True)
def warm() -> None:
    MailTemplates(subject="s", text="x", html="x").render({})


# An interrupt may come in a callback of the collector's (a weakref's, say), where Python drops it. The next one ends
# the template.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", quick_first(list(BOMBS), 30))
def test_it_ends_soon_and_with_an_error(name: str) -> None:
    variables = {"x": "a" * 100, "big": "x" * 10_000, "tags": "<!-->" * 2000}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    with pytest.raises((TemplateInvalid, TimeoutError)):
        run_with_deadline(
            lambda: MailTemplates(subject="s", text=BOMBS[name], html=BOMBS[name]).render(variables), DEADLINE
        )
    assert time.process_time() - started < DEADLINE + 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, f"used {grown} KiB"


@pytest.mark.slow
def test_the_largest_allowed_template_and_data_stay_within_bounds() -> None:
    """What is allowed, at its limits, in a process that may use 1 GiB."""
    code = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from celeriac.families.email.templates import MailTemplates
text = "{{big}}" * 4_900
print(len(MailTemplates(subject="s", text=text, html=None).render({"big": "x" * 200}).text))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "980000\n", done.stderr
