"""The key that links are signed with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from celeriac.core.errors import LinkInvalid, StorageUnavailable
from celeriac.storage.links import Link, Links
from celeriac.storage.location import Location


def link() -> Link:
    return Link("job", "a.pdf", (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0))


async def test_processes_share_the_key_of_their_storage(location: Location) -> None:
    made = link()
    assert await Links(location).read(await Links(location).token(made)) == made


async def test_without_a_whole_key_nothing_is_signed_or_believed(location: Location) -> None:
    """A machine that lost its power may leave an empty file, with which anybody could sign."""
    token = await Links(location).token(link())
    await location.put("keys/links", b"")
    with pytest.raises(StorageUnavailable, match="damaged"):
        await Links(location).token(link())
    with pytest.raises(StorageUnavailable, match="damaged"):
        await Links(location).read(token)
    await location.delete(["keys/links"])
    with pytest.raises(LinkInvalid):
        await Links(location).read(token)
