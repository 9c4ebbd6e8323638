"""Reads streams of the test API with a reader of its own, without a broker."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from celeriac.client.limits import Limits, NoLimits
from celeriac.families.sync.http.model import HttpSource, HttpStream
from celeriac.families.sync.http.reader import HttpReader
from celeriac.families.sync.pages import Asked, Page

#: How each style of the test API is read: its pagination, and where the records are.
STYLES: Mapping[str, tuple[dict[str, Any], str]] = {
    "link": ({"type": "link"}, ""),
    "next_url": ({"type": "next_url", "path": "paging.next"}, "items"),
    "cursor": ({"type": "cursor", "from_body": "meta.next", "to_param": "cursor"}, "data.orders"),
    "header_cursor": ({"type": "cursor", "from_header": "X-Next", "to_header": "X-After"}, ""),
    "page": ({"type": "page"}, ""),
    "offset": ({"type": "offset", "more": "more"}, "items"),
    "keyset": ({"type": "keyset", "fields": ["id"], "params": ["after"]}, ""),
    "inclusive": (
        {
            "type": "keyset",
            "fields": ["updated_at"],
            "params": ["from"],
            "inclusive": True,
            "size": 100,
            "size_param": "limit",
        },
        "",
    ),
}


def stream_of(style: str, **options: Any) -> HttpStream:
    """The stream of orders in this style. Options replace what it says."""
    pagination, records = STYLES[style]
    known = {"path": f"{style}/orders", "pagination": pagination, "records": records}
    return HttpStream.model_validate(known | options)


@asynccontextmanager
async def reader(
    url: str,
    streams: Mapping[str, HttpStream],
    *,
    limits: Limits | None = None,
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncGenerator[HttpReader]:
    """A reader of the API at `url`. `options` are those of its source; it does not wait between tries."""
    source = HttpSource.model_validate({"url": url, "backoff": 0, **options})
    opened = HttpReader(source, streams, limits or NoLimits(), **(reading or {}))
    try:
        yield opened
    finally:
        await opened.close()


async def read(url: str, stream: HttpStream, asked: Mapping[str, Any] | None = None, **options: Any) -> list[Page]:
    """All pages of a stream."""
    async with reader(url, {"orders": stream}, **options) as opened:
        return [page async for page in opened.pages(Asked(stream="orders", **(asked or {})))]


def ids(pages: list[Page]) -> list[Any]:
    """The ids of all records, in order."""
    return [record["id"] for page in pages for record in page.records]
