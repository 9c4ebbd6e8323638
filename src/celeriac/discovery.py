"""The job families of this installation: which are there, and why others are not."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from typing import TYPE_CHECKING

from celeriac.core.errors import ConfigurationError
from celeriac.core.findings import Finding, fail
from celeriac.core.printable import one_line
from celeriac.family import FamilySettings, JobFamily, switched_off
from celeriac.settings import Settings, load_settings, unknown_variables

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
    BROKEN = "broken"
    """Its code cannot be used."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A family that was found.

    Attributes:
        name: its name.
        kind: its class; None if that is broken, or if a broken one is switched off.
        presence: whether it is there.
        absence: why it is not, and what to do about it; empty if it is there.
    """

    name: str
    kind: type[JobFamily] | None
    presence: Presence
    absence: str = ""

    @property
    def summary(self) -> str:
        """What it does, in one line; empty if that is not known."""
        return self.kind.summary if self.kind else ""


def guests(settings: Settings) -> list[Guest]:
    """All families of this installation, by name.

    Raises:
        ConfigurationError: a family is switched off that does not exist.
    """
    known = found()
    if unknown := sorted(set(settings.families_off) - known.keys()):
        raise ConfigurationError(
            f"CELERIAC_FAMILIES_OFF={','.join(settings.families_off)}: there is no family {', '.join(unknown)}; "
            f"there are {', '.join(known) or 'none'}"
        )
    return [_guest(name, kind, settings) for name, kind in known.items()]


def host_families(app: Celeriac, own: Mapping[str, FamilySettings] | None = None) -> None:
    """Include all families that are there in `app`, which keeps why the others are absent.

    `own` are settings that are not read from the environment. A broken family keeps no other from being included.

    Raises:
        ConfigurationError: a setting of a family is wrong.
    """
    given = own or {}
    for guest in guests(app.settings):
        absence = guest.absence
        if guest.kind is not None and not absence:
            try:
                app.include_family(guest.kind, given.get(guest.name))
            except ConfigurationError:
                raise
            except Exception as error:
                absence = broken(guest.name, "__init__()", error)
                warn(absence)
        if absence:
            app.absent_families[guest.name] = absence


def present(settings: Settings) -> list[type[JobFamily]]:
    """The classes of the families that are there. Raises as `guests` does."""
    return [guest.kind for guest in guests(settings) if guest.kind is not None and not guest.absence]


def migrations(settings: Settings) -> list[Migrations]:
    """The histories of the tables of the families that are there; warns of those that cannot tell theirs.

    Raises:
        ConfigurationError: a family is switched off that does not exist.
    """
    histories: list[Migrations] = []
    for kind in present(settings):
        try:
            history = kind.migrations()
        except Exception as error:
            warn(broken(kind.name, "migrations()", error))
            continue
        if history is not None:
            histories.append(history)
    return histories


def settings_classes() -> list[type[FamilySettings]]:
    """What can be configured of the families of this installation."""
    return [kind.settings_class for kind in found().values() if not isinstance(kind, str)]


@cache
def found() -> Mapping[str, type[JobFamily] | str]:
    """The classes of all families of this installation, by name; of a broken one, what is wrong with it.

    What a family needs need not be installed.
    """
    kinds: dict[str, type[JobFamily] | str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in kinds:
            kinds[entry.name] = f"the job family {entry.name!r} is broken: two packages have one of that name"
        else:
            kinds[entry.name] = _load(entry)
    return kinds


async def check(kind: type[JobFamily], own: FamilySettings | None = None) -> Sequence[Finding]:
    """What the family says of what it needs outside. Never raises. `own` are settings not read from the environment."""
    try:
        return await kind.check(own or kind.read_settings())
    except ConfigurationError as error:
        return [fail(kind.name, str(error), "change that variable")]
    except Exception as error:
        return [fail(kind.name, broken(kind.name, "check()", error), "upgrade its package")]


def broken(name: str, what: str, error: BaseException) -> str:
    """Say that `what` of the family failed."""
    return f"the job family {name!r} is broken: {what} raised {type(error).__name__}: {error}"


@cache
def warn(message: str) -> None:
    """Write a warning to stderr, in one line, once in this process."""
    sys.stderr.write(f"celeriac: warning: {one_line(message)}\n")


def warn_of_broken(settings: Settings) -> None:
    """Warn of each family whose code cannot be used. Raises as `guests` does."""
    for guest in guests(settings):
        if guest.presence is Presence.BROKEN:
            warn(guest.absence)


def warn_of_what_is_set() -> None:
    """Warn of variables that look like settings and are none, and of broken families."""
    for name, nearest in unknown_variables(*settings_classes()).items():
        advice = f"; did you mean {nearest}?" if nearest else ""
        warn(f"{name} is set, and no setting has that name{advice}")
    with contextlib.suppress(ConfigurationError):  # which the command itself says
        warn_of_broken(load_settings())


def _load(entry: EntryPoint) -> type[JobFamily] | str:
    """The class that an entry point names, or what is wrong with it."""
    where = f"the job family {entry.name!r} ({entry.value}) is broken: it"
    try:
        kind = entry.load()
    except (Exception, SystemExit) as error:
        return f"{where} cannot be imported: {type(error).__name__}: {error}"
    if not (isinstance(kind, type) and issubclass(kind, JobFamily)):
        return f"{where} is no class that inherits from celeriac.family.JobFamily"
    if missing := [name for name in ("name", "summary") if not isinstance(getattr(kind, name, None), str)]:
        return f"{where} has no {' and no '.join(missing)}"
    if isabstract(kind):
        return f"{where} does not define {', '.join(sorted(kind.__abstractmethods__))}"
    if kind.name != entry.name or not _NAME.fullmatch(kind.name) or kind.name in _TAKEN:
        return (
            f"{where} has the name {kind.name!r}: let it be that of its entry point, of a-z, 0-9 and _, "
            f"and none of {', '.join(sorted(_TAKEN))}"
        )
    return kind


def _guest(name: str, kind: type[JobFamily] | str, settings: Settings) -> Guest:
    known = None if isinstance(kind, str) else kind
    if name in settings.families_off:
        return Guest(name, known, Presence.OFF, switched_off(name))
    if isinstance(kind, str):
        return Guest(name, None, Presence.BROKEN, kind)
    if missing := kind.why_missing():
        return Guest(name, kind, Presence.MISSING, missing)
    return Guest(name, kind, Presence.ON)
