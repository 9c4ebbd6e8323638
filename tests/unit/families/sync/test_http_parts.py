"""The parts of HTTP sources that need no server."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from pydantic import ValidationError
from yarl import URL

from celeriac.core.checks import shown
from celeriac.core.retry import Retry
from celeriac.families.sync.converting import Holder
from celeriac.families.sync.errors import SourceFailed, SourceUnavailable
from celeriac.families.sync.http.decoding import NotJson, decode, examine
from celeriac.families.sync.http.link_header import link_of
from celeriac.families.sync.http.model import HttpSource, HttpStream
from celeriac.families.sync.http.passing import Passing, Tries, retry_after
from celeriac.families.sync.http.paths import MISSING, compile_path
from celeriac.families.sync.http.templates import fill_path, fill_value
from celeriac.families.sync.http.unpacking import EncodingUnknown, Unpacker
from celeriac.families.sync.http.urls import Bounds
from celeriac.families.sync.kinds import Kind, Unstorable
from celeriac.families.sync.secrets import Secrets

URL_ = "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        (['<https://a/2>; rel="next"'], "https://a/2"),
        (["</1>; rel=prev, </3>; rel=next"], "/3"),
        (["</1>; rel=prev", "</3>; rel=next"], "/3"),
        (['</3>;title="a, b; rel=prev";REL="First Next"'], "/3"),
        (['</a,b;c>; rel="next"'], "/a,b;c"),
        (['</3> ; rel = "next" ; rel="prev"'], "/3"),
        ([r'</3>; title="a \" b"; rel=next'], "/3"),
        (["</3>; hreflang; rel=next"], "/3"),
        (["</3>; rel=nextish"], None),
        (["</3>; rel=next; anchor=/other"], None),
        (["</3; rel=next"], None),
        (["/3; rel=next"], None),
        ([",, </3>; rel=next,,"], "/3"),
        ([""], None),
        ([], None),
        (['</3>; rel="next'], "/3"),
    ],
)
def test_the_next_page_is_found_in_a_link_header(headers: list[str], target: str | None) -> None:
    assert link_of(headers, "next") == target


@pytest.mark.parametrize("piece", ["<", "<>", ";", "<a>;", '<a>;b="', "<a>,", '<a>;b="\\', ",", " "])
def test_a_long_link_header_takes_no_time(piece: str) -> None:
    link_of([piece * (16_000 // len(piece))], "next")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "9" * 50}, 86_400),
        ({"Retry-After": "Mon, 30 Nov 2026 10:00:30 GMT", "Date": "Mon, 30 Nov 2026 10:00:00 GMT"}, 30),
        ({"Retry-After": "Mon, 30 Nov 2026 09:00:00 GMT", "Date": "Mon, 30 Nov 2026 10:00:00 GMT"}, 0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 86_400),
        ({"Retry-After": "Mon, 30 Nov 1970 09:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "²"}, None),
        ({}, None),
    ],
)
def test_a_retry_after_is_a_number_of_seconds_or_a_date_of_the_servers_own_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds


def test_tries_follow_the_policy_and_begin_anew_once_something_came() -> None:
    tries = Tries(HttpSource(url=URL_, attempts=3, backoff=2))
    outage = Passing("the answer is 500")
    first, second = tries.delay_after(outage), tries.delay_after(outage)
    assert 1 <= first <= 2 <= second <= 4
    tries.forget()
    assert tries.delay_after(outage) <= 2
    tries.delay_after(outage)
    with pytest.raises(SourceUnavailable, match="the answer is 500, after 3 tries"):
        tries.delay_after(outage)
    with pytest.raises(SourceFailed, match="no JSON, after 4 tries"):
        tries.delay_after(Passing("no JSON", is_outage=False))
    assert Retry(attempts=3).attempts == 3


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[18446744073709551615]", [18446744073709551615]),
        (b"[123456789012345678901234567890]", [123456789012345678901234567890]),
        (b"[-9999999999999999999]", [-9999999999999999999]),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b'["12345678901234567890", 0.1]', ["12345678901234567890", 0.1]),
    ],
)
def test_json_is_read_exactly(body: bytes, value: Any) -> None:
    decoded = decode(body)
    assert decoded.value == value
    assert list(map(type, decoded.value)) == list(map(type, value))


def test_a_number_of_thousands_of_digits_refuses_its_record_and_not_its_page() -> None:
    decoded = decode(b'[{"id": 1}, {"id": 2, "v": [{"w": -%s}]}]' % (b"1" * 5_000))
    examined = examine(decoded.value, is_strict=decoded.is_strict)
    assert examined.records == [{"id": 1}]
    assert [(one.position, one.reason) for one in examined.refused] == [
        (1, "has a whole number of thousands of digits")
    ]


def test_a_fraction_that_no_float_holds_stays_exact_where_a_page_has_long_numbers() -> None:
    value = decode(b"[12345678901234567890123, 0.12345678901234567890123, 0.5]").value
    assert str(value[1]) == "0.12345678901234567890123" and type(value[2]) is float


@pytest.mark.parametrize(
    ("body", "is_cut"),
    [
        (b"", True),
        (b"[1", True),
        (b'{"a": "b', True),
        (b'{"a":', True),
        (b'[{"a": 1}, {"b', True),
        (b"[1, tru", True),
        (b'["a\\u00', True),
        (b"<html>nothing of JSON is here</html>", False),
        (b"OK", False),
        (b'{"a": 1} and then something else that is none', False),
        (b'["\xff"]', False),
    ],
)
def test_what_is_no_json_is_either_cut_or_wrong(body: bytes, is_cut: bool) -> None:
    with pytest.raises(NotJson) as refused:
        decode(body)
    assert refused.value.is_cut == is_cut


@pytest.mark.parametrize("digits", ["1e99999999999999999999", "-1e99999999999999999999", "1e400"])
def test_a_number_beyond_all_doubles_refuses_its_record_and_not_its_page(digits: str) -> None:
    decoded = decode(b'[{"id": 1}, {"id": 2, "v": %s}, {"id": 3, "v": 1e-99999999999999999999}]' % digits.encode())
    examined = examine(decoded.value, is_strict=decoded.is_strict)
    assert examined.records == [{"id": 1}, {"id": 3, "v": 0.0}]
    assert [one.reason for one in examined.refused] == ["has NaN or Infinity, which JSON has no numbers for"]


def test_a_number_too_small_for_a_double_is_zero_wherever_it_comes() -> None:
    for beside in (b"1", b"1" * 30):
        value = decode(b"[%s, 1e-99999999999999999999, -1e-400, 0.000e-7]" % beside).value
        assert value[1:] == [0, 0, 0] and set(map(type, value[1:])) == {float}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"7", "is no object"),
        (b"null", "is no object"),
        (b'{"a": NaN}', "has NaN or Infinity"),
        (b'{"a": [{"b": -Infinity}]}', "has NaN or Infinity"),
        (b'{"a": 1e400}', "has NaN or Infinity"),
        (b'{"a": "\\ud800"}', "holds half of a surrogate pair"),
        (b'{"\\udc00": 1}', "holds half of a surrogate pair"),
        (json.dumps({"a": nested(300)}).encode(), "is nested deeper than 254 levels"),
    ],
)
def test_a_record_that_nothing_could_store_is_refused_alone(body: bytes, reason: str) -> None:
    decoded = decode(b'[{"id": 1}, ' + body + b', {"id": 2, "n": 123456789012345678901234567890}]')
    found = examine(decoded.value, 10, is_strict=decoded.is_strict)
    assert [record["id"] for record in found.records] == [1, 2]
    ((refused),) = found.refused
    assert refused.reason.startswith(reason) and refused.position == 11


def test_a_page_has_the_same_digest_again_and_another_page_another() -> None:
    pages = [[{"a": 1}], [{"a": 2}], [{"a": 10**30}], [{"a": 10**30 + 1}], [1]]
    assert len({examine(page).digest for page in pages}) == len(pages)
    assert all(examine(page).digest == examine(list(page)).digest for page in pages)


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_bodies_are_unpacked_in_pieces(size: int) -> None:
    content = b"abc" * 1_000
    for encoding, packed in (
        ("", content),
        ("identity", content),
        ("gzip", gzip.compress(content)),
        ("X-GZIP", gzip.compress(content[:500]) + gzip.compress(content[500:])),
        ("deflate", zlib.compress(content)),
        ("deflate", zlib.compress(content)[2:-4]),
    ):
        unpacker = Unpacker(encoding)
        pieces = [piece for at in range(0, len(packed), size) for piece in unpacker.unpack(packed[at : at + size])]
        assert b"".join(pieces) == content
        assert unpacker.is_whole


def test_a_packed_body_that_ends_too_early_is_not_whole() -> None:
    packed = gzip.compress(b"abc" * 1_000)
    unpacker = Unpacker("gzip")
    assert list(unpacker.unpack(packed[:-5])) and not unpacker.is_whole
    with pytest.raises(zlib.error):
        list(Unpacker("gzip").unpack(b"no gzip at all"))
    with pytest.raises(EncodingUnknown):
        Unpacker("br")


def test_a_bomb_is_unpacked_no_further_than_it_is_asked_for() -> None:
    pieces = Unpacker("gzip").unpack(gzip.compress(b"\0" * 5_000_000, 1))
    assert len(next(pieces)) <= 300_000


def test_paths_lead_into_bodies() -> None:
    body = {"a": {"b": [{"c": 1}]}, "d.e": 2, "n": None}
    for path, found in (
        ("a.b.0.c", 1),
        ("d.e", 2),
        ("n", None),
        ("", body),
        ("a.x", MISSING),
        ("n.x", MISSING),
        ("a.b.7", MISSING),
        ("a.b.-1", MISSING),
        ("$.a.b[0].c", 1),
        ("$.x", MISSING),
        ("$.a.b[*].c", [1]),
    ):
        assert compile_path(path).find(body) == found
    for wrong in ("a..b", ".a", "a.", "$[", "$.a["):
        with pytest.raises(ValueError, match="JSONPath"):
            compile_path(wrong)


def test_fields_of_a_parent_fill_paths_and_parameters() -> None:
    parent = {"id": 7, "name": "a/b c?", "owner": {"id": "x"}, "account.id": 9}
    assert fill_path("c/{parent.id}/{parent.name}", parent) == "c/7/a%2Fb%20c%3F"
    assert fill_value("{parent.owner.id}-{parent.account.id}{{}}", parent) == "x-9{}"
    for value in (None, True, 1.5, "", "..", ".", [1], {}):
        with pytest.raises(SourceFailed, match="must be text or a whole number"):
            fill_path("c/{parent.id}", {"id": value})
    with pytest.raises(SourceFailed, match="name the stream's parent"):
        fill_path("c/{parent.id}", None)


def test_secrets_are_hidden_as_they_are_and_as_urls_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "a b/ü&c")
    secrets = Secrets()
    assert secrets.read("env:A_TOKEN") == "a b/ü&c"
    assert secrets.hide("x a b/ü&c y ?key=a%20b%2F%C3%BC%26c&k=a+b%2F%C3%BC%26c") == "x *** y ?key=***&k=***"


def test_a_secret_that_was_cut_in_the_middle_is_hidden_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "hunter2-is-long-enough")
    secrets = Secrets()
    secrets.read("env:A_TOKEN")
    with pytest.raises(Unstorable) as refused:
        Holder(Kind.INTEGER, "sqlite", is_fixed=True).one("x" * 40 + "hunter2-is-long-enough, and more")
    assert secrets.hide(str(refused.value)) == f"'{'x' * 40}***… does not fit its type, integer"
    told = shown("x" * 50 + " hunter2-is-long-enough")
    assert "hunt" in told and "hunt" not in secrets.hide(told)
    assert secrets.hide("no hunting … nor hunter2...") == "no hunting … nor ***..."


def test_a_url_is_shown_without_the_parameter_of_the_credentials() -> None:
    bounds = Bounds(URL(URL_), ["https://eu.example.com"], "key")
    assert bounds.shown(URL("https://api.example.com/v1?key=x&a=1")) == "https://api.example.com/v1?a=1"
    target = bounds.next_of(URL(URL_), "https://user:pw@eu.example.com/2?key=x#f", "the next URL")
    assert str(target) == "https://eu.example.com/2"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"url": "api.example.com"}, "give a URL such as"),
        ({"url": "ftp://api.example.com"}, "begins with https:// or http://"),
        ({"url": "https://me:hunter2@api.example.com"}, "name these in `auth`"),
        ({"url": URL_ + "#x"}, "has a fragment"),
        ({"also": ["https://a.example/path"]}, "give an origin"),
        ({"headers": {"Authorization": "hunter2"}}, "credentials go into auth"),
        ({"headers": {"X": "a\r\nb"}}, "printable ASCII"),
        ({"headers": {"a b": "x"}}, "cannot be the name of a header"),
        ({"auth": {"type": "bearer", "token": "hunter2"}}, "give the place of the secret"),
        ({"auth": {"type": "query", "name": "key", "value": "env:X"}, "params": {"key": "1"}}, "auth sends already"),
        ({"pagination": {"type": "cursor", "from_body": "a"}}, "say where to send the token"),
        ({"pagination": {"type": "cursor", "to_param": "a"}}, "say where the token is"),
        ({"pagination": {"type": "page", "size_param": "a"}}, "give the size"),
        ({"pagination": {"type": "keyset", "fields": ["a"], "params": ["b", "c"]}}, "one of params for each"),
        ({"pagination": {"type": "keyset", "fields": ["a"], "params": ["b"], "inclusive": True}}, "needs the size"),
        ({"pagination": {"type": "pages"}}, "does not match any of the expected tags"),
        ({"records": "a..b"}, "empty name between its dots"),
        ({"records": "$["}, "is no JSONPath"),
        ({"rate": {"requests": 0}}, "greater than or equal to 1"),
        ({"page_size": 5}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_source_is_refused_and_never_shown(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault) as refused:
        HttpSource.model_validate({"url": URL_} | given)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"path": "https://elsewhere.example"}, "give a path below"),
        ({"path": "a?b=c"}, "parameters in params"),
        ({"path": "a/{id}"}, "is not understood; write {parent.FIELD}"),
        ({"path": "a/{parent.id!r}"}, "is not understood"),
        ({"path": "a/{"}, "a brace stands alone"),
        ({"params": {"a": "{parent.}"}}, "is not understood"),
        ({"since": {"param": "a", "format": "unix"}}, "Input should be"),
    ],
)
def test_a_wrong_stream_is_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        HttpStream.model_validate(given)
