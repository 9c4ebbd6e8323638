"""The checks of job families in `celeriac doctor`: which are usable, and whether their external services work."""

from __future__ import annotations

import asyncio
from itertools import chain

from celeriac.core.errors import ConfigurationError
from celeriac.core.findings import Finding, fail, ok, warn
from celeriac.discovery import Guest, Presence, check, guests, present
from celeriac.settings import Settings


async def check_families(settings: Settings) -> list[Finding]:
    """Check all families of this installation."""
    try:
        found = guests(settings)
    except ConfigurationError as error:
        return [fail("families", str(error), "correct CELERIAC_FAMILIES_OFF")]
    here = present(settings)
    absent = [_absence(guest) for guest in found if guest.absence]
    usable = ", ".join(kind.name for kind in here) or "none"
    told = [ok("families", usable)] if here or not absent else []
    return [*told, *absent, *chain.from_iterable(await asyncio.gather(*map(check, here)))]


def _absence(guest: Guest) -> Finding:
    if guest.presence is not Presence.BROKEN:
        return ok("families", guest.absence)
    return warn("families", guest.absence, "reinstall or upgrade its package, or name it in CELERIAC_FAMILIES_OFF")
