"""Notices an API that goes round in circles. A stream that does so would never end."""

from __future__ import annotations

from typing import Any

from celeriac.core import codec
from celeriac.core.checks import shown
from celeriac.families.sync.errors import SourceFailed
from celeriac.families.sync.seen import Seen


class LoopGuard:
    """Remembers the pages of one stream in one run. On its next run, a stream may see each page again."""

    def __init__(self) -> None:
        self._tokens = Seen()
        self._contents = Seen()

    def check_token(self, token: Any, page: int) -> None:
        """Look at what asks for a page, before it is asked for.

        Raises:
            SourceFailed: another page was asked for with the same token or URL.
        """
        first = self._tokens.first(hash(codec.dumps(token)), page)
        if first != page:
            said = shown(token.partition("?")[0]) if isinstance(token, str) and "://" in token else shown(token)
            raise SourceFailed(
                f"the API goes round in circles: page {page} would be asked for with {said}, as page {first} was; "
                "look at `pagination`"
            )

    def check_content(self, digest: int, page: int) -> None:
        """Look at a page that has records.

        Raises:
            SourceFailed: another page had the same ones.
        """
        first = self._contents.first(digest, page)
        if first != page:
            raise SourceFailed(
                f"the API goes round in circles: page {page} has the same records as page {first}; it may not know "
                "the parameter that asks for a page: look at `pagination`"
            )
