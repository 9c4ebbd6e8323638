"""Secrets of sources: named by their place in a definition, read when a run begins, and hidden in all that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote, quote_plus

from pydantic import AfterValidator

from celeriac.families.sync.errors import SourceFailed
from celeriac.secret import check_place, read_secret

SecretPlace = Annotated[str, AfterValidator(check_place)]

_MASK = "***"
#: Shorter ones would make every text unreadable, and are no secrets.
_SHORTEST_HIDDEN = 4
#: What messages have where a text was cut, behind a quote maybe.
_CUTS, _QUOTES = ("…", "..."), "'\" "


class Secrets:
    """The secrets that a reader has used. It replaces them in texts that others see."""

    def __init__(self) -> None:
        self._hidden: set[str] = set()

    def read(self, place: str) -> str:
        """Return the secret at a place, and hide it from now on.

        Raises:
            SourceFailed: there is none. The message names the place.
        """
        try:
            secret = read_secret(place)
        except ValueError as error:
            raise SourceFailed(f"the secret {place} cannot be read: {error}") from None
        if not secret:
            raise SourceFailed(f"the secret {place} is empty where this worker runs; set it there")
        if not secret.isprintable():  # it goes into a header or a URL
            raise SourceFailed(f"the secret {place} has a line end or a control character in it; take that out")
        self.add(secret)
        return secret

    def add(self, secret: str) -> None:
        """Hide another secret, such as a token that was issued."""
        if len(secret) >= _SHORTEST_HIDDEN:
            self._hidden.update((secret, quote(secret, safe=""), quote_plus(secret)))
            self._hidden.add(repr(secret)[1:-1])
            self._hidden.update(json.dumps(secret, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))

    def hide(self, text: str) -> str:
        """Return the text with a mask in place of each secret, also of one that was cut in the middle."""
        for secret in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(secret, _MASK)
        for cut in _CUTS:
            *ending, last = text.split(cut)
            text = cut.join([*map(self._without_beginning, ending), last])
        return text

    def _without_beginning(self, text: str) -> str:
        """Return a text that was cut with a mask in place of a secret that begins at its end."""
        end = text.rstrip(_QUOTES)
        for length in range(min(len(end), max(map(len, self._hidden), default=0)), _SHORTEST_HIDDEN - 1, -1):
            if any(secret.startswith(end[-length:]) for secret in self._hidden):
                return end[:-length] + _MASK + text[len(end) :]
        return text


def hiding(source: object) -> Callable[[str], str]:
    """Return what hides the secrets that a source has used: an API may send them back. Sources of users have none."""
    return getattr(source, "hide", str)
