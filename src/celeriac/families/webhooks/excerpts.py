"""What the log of attempts shows of an answer: enough to find a fault, and no secret, neither theirs nor ours."""

from __future__ import annotations

import json
from collections.abc import Mapping

_SHOWN_HEADERS = frozenset(
    {
        "allow",
        "cf-ray",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "location",
        "retry-after",
        "server",
        "traceparent",
        "via",
        "webhook-delivery",
        "x-amzn-requestid",
        "x-amzn-trace-id",
        "x-correlation-id",
        "x-request-id",
    }
)
_LONGEST_VALUE = 200
_LONGEST_BODY = 1000
#: Headers of a request that anybody may see. The values of all others are secrets, unless they are too short for one.
_NO_SECRETS = frozenset({"accept", "content-type", "user-agent", "webhook-id", "webhook-timestamp"})
_SHORTEST_SECRET = 6


def excerpt_of_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer that help to find a fault, by their names in lower case. Cookies do not."""
    shown = {name.lower(): value for name, value in headers.items() if name.lower() in _SHOWN_HEADERS}
    if "location" in shown:  # a query often has a token
        shown["location"] = shown["location"].partition("?")[0]
    return {name: _clean(value)[:_LONGEST_VALUE] for name, value in shown.items()}


def excerpt_of_body(body: bytes, headers: Mapping[str, str], *, sent: Mapping[str, str]) -> str:
    """Return the beginning of an answer's body as text.

    Some servers return what they got: the values of the headers in `sent` are taken out of it.
    """
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding not in ("", "identity"):
        return f"({len(body)} bytes, packed as {_clean(encoding)[:20]})"
    if b"\0" in body:
        return f"({len(body)} bytes that are no text)"
    text = body.decode(errors="replace")
    for secret in _secrets(sent):
        text = text.replace(secret, "***").replace(json.dumps(secret)[1:-1], "***")
    return _clean(text)[:_LONGEST_BODY]


def _secrets(sent: Mapping[str, str]) -> list[str]:
    """Return the secrets among the values of headers, the longest first. `Bearer x` has one without its scheme, too."""
    values = {value for name, value in sent.items() if name.lower() not in _NO_SECRETS}
    words = {word for value in values for word in value.split()}
    return sorted((each for each in values | words if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)


def _clean(text: str) -> str:
    """Return `text` without control characters, which terminals obey, but for the ends of lines."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)
