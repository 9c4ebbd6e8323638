"""The job families of this installation: which there are, which are switched off, and what is missing for others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from celeriac.core.errors import ConfigurationError
from celeriac.family import FamilySettings, JobFamily
from celeriac.settings import Settings

if TYPE_CHECKING:
    from celeriac.application import Celeriac
    from celeriac.database.migrations import Migrations

GROUP = "celeriac.families"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: Prefixes of the API, and commands.
_TAKEN = frozenset(
    {
        *("docs", "health", "jobs", "metrics", "openapi", "static"),
        *("api", "beat", "db", "dead", "doctor", "families", "flower", "queues", "up", "worker"),
    }
)


class Presence(StrEnum):
    """Whether a family is there."""

    ON = "on"
    OFF = "off"
    """It is switched off."""
    MISSING = "missing"
    """What it needs is not installed."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A family that was found.

    Attributes:
        name: its name.
        kind: its class.
        presence: whether it is there.
        absence: why it is not, and what to do about it; empty if it is there.
    """

    name: str
    kind: type[JobFamily]
    presence: Presence
    absence: str = ""


def guests(settings: Settings) -> list[Guest]:
    """All families of this installation, by name.

    Raises:
        ConfigurationError: the package of a family is broken, or a family is switched off that does not exist.
    """
    kinds = found()
    if unknown := sorted(set(settings.families_off) - kinds.keys()):
        raise ConfigurationError(
            f"CELERIAC_FAMILIES_OFF={','.join(settings.families_off)}: there is no family {', '.join(unknown)}; "
            f"there are {', '.join(kinds) or 'none'}"
        )
    return [_guest(name, kind, settings) for name, kind in kinds.items()]


def host_families(app: Celeriac, own: Mapping[str, FamilySettings] | None = None) -> None:
    """Include all families that are there in `app`. `own` are settings that are not read from the environment.

    Raises:
        ConfigurationError: a setting of a family is wrong, or its package is broken.
    """
    given = own or {}
    for kind in present(app.settings):
        app.include_family(kind, given.get(kind.name))


def present(settings: Settings) -> list[type[JobFamily]]:
    """The classes of the families that are there. Raises as `guests` does."""
    return [guest.kind for guest in guests(settings) if not guest.absence]


def migrations(settings: Settings) -> list[Migrations]:
    """The histories of the tables of the families that are there. Raises as `guests` does."""
    return [history for kind in present(settings) if (history := kind.migrations()) is not None]


def settings_classes() -> list[type[FamilySettings]]:
    """What can be configured of the families of this installation. Raises as `found` does."""
    return [kind.settings_class for kind in found().values()]


@cache
def found() -> Mapping[str, type[JobFamily]]:
    """The classes of all families of this installation, by name. What they need need not be installed.

    Raises:
        ConfigurationError: the package of a family is broken.
    """
    kinds: dict[str, type[JobFamily]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        kind = _load(entry)
        if kind.name in kinds:
            raise ConfigurationError(f"two job families are named {kind.name!r}: {kinds[kind.name]!r} and {kind!r}")
        kinds[kind.name] = kind
    return kinds


def _load(entry: EntryPoint) -> type[JobFamily]:
    where = f"the job family {entry.name!r} ({entry.value})"
    try:
        kind = entry.load()
    except Exception as error:
        raise ConfigurationError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, JobFamily)):
        raise ConfigurationError(f"{where} is no class that inherits from celeriac.family.JobFamily")
    if kind.name != entry.name or not _NAME.fullmatch(kind.name) or kind.name in _TAKEN:
        raise ConfigurationError(
            f"{where} has the name {kind.name!r}: let it be that of its entry point, of a-z, 0-9 and _, "
            f"and none of {', '.join(sorted(_TAKEN))}"
        )
    return kind


def _guest(name: str, kind: type[JobFamily], settings: Settings) -> Guest:
    if missing := kind.why_missing():
        return Guest(name, kind, Presence.MISSING, missing)
    if off := kind.why_off(settings):
        return Guest(name, kind, Presence.OFF, off)
    return Guest(name, kind, Presence.ON)
