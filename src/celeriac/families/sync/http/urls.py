"""URLs of sources: where requests may go, and how a URL is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator
from yarl import URL

from celeriac.core.printable import one_line, shortened
from celeriac.families.sync.errors import SourceFailed

_SCHEMES = ("http", "https")
_LONGEST_SHOWN = 300
#: What a server may send as its next URL. Longer ones are no URLs of a page.
_LONGEST_URL = 16_384


def _checked(text: str) -> str:
    try:
        url = URL(text)
        _ = url.origin()
    except ValueError:
        raise ValueError("give a URL such as https://api.example.com/v1") from None
    if url.scheme not in _SCHEMES or not url.host:
        raise ValueError("give a URL that begins with https:// or http://, and has a host")
    if url.user is not None or url.password is not None:
        raise ValueError("the URL has a user or a password: name these in `auth`")
    if url.fragment:
        raise ValueError("the URL has a fragment (#…), which is never sent: leave it out")
    if url.query_string:  # a URL is shown, and some queries have a key
        raise ValueError("the URL has a query (?…): put parameters into `params`, and a secret one into `auth`")
    return text


def _checked_origin(text: str) -> str:
    url = URL(_checked(text))
    if url.path != "/":
        raise ValueError("give an origin, such as https://eu.api.example.com, without a path")
    return text


HttpUrl = Annotated[str, AfterValidator(_checked)]
Origin = Annotated[str, AfterValidator(_checked_origin)]


class Bounds:
    """The origins that requests may go to. Credentials go with them, so that no answer may name another one."""

    def __init__(self, base: URL, others: Iterable[str], secret_param: str | None = None) -> None:
        self._origins = {base.origin(), *(URL(other).origin() for other in others)}
        self._secret_param = secret_param
        #: The last one that was found to be good, which is asked for next.
        self._last = ("", base)

    def next_of(self, current: URL, text: object, what: str) -> URL:
        """Return the URL that an answer names, absolute and without credentials.

        Raises:
            SourceFailed: it is none, or leads to another origin.
        """
        if text == self._last[0]:
            return self._last[1]
        if not isinstance(text, str) or len(text) > _LONGEST_URL:
            raise SourceFailed(f"{what} is no URL of up to {_LONGEST_URL:,} characters")
        try:
            is_clean = text.isascii() and text.isprintable() and " " not in text
            url = current.join(URL(text, encoded=is_clean)).with_fragment(None)  # some URLs are signed as they are
            origin = url.origin()
        except (ValueError, TypeError):
            raise SourceFailed(f"{what} is no URL: {self.shown_text(text)}") from None
        if origin not in self._origins:
            raise SourceFailed(
                f"{what} leads to {one_line(str(origin))}, where credentials must not go; "
                "name that origin in `also` if it is the API's"
            )
        good = self.without_secret(url.with_user(None))
        self._last = (str(good), good)
        return good

    def without_secret(self, url: URL) -> URL:
        """Return the URL without the parameter that has the credentials."""
        if self._secret_param is None or self._secret_param not in url.query:
            return url
        return url.without_query_params(self._secret_param)

    def shown(self, url: URL) -> str:
        """Return the URL for messages."""
        return shortened(one_line(str(self.without_secret(url))), _LONGEST_SHOWN)

    def shown_text(self, text: str) -> str:
        """Return what should be a URL and is none, for messages: without a query, which may have credentials."""
        return shortened(one_line(text.partition("?")[0][:_LONGEST_SHOWN]), _LONGEST_SHOWN)
