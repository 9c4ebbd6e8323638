"""Finds the job families of this installation, and says why some cannot be used."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Collection, Mapping, Sequence
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
#: Names of API prefixes and commands, which a family cannot have.
_TAKEN = frozenset(
    {
        *("docs", "health", "jobs", "metrics", "openapi", "static"),
        *("api", "beat", "db", "dead", "doctor", "families", "flower", "queues", "up", "worker"),
    }
)


class Presence(StrEnum):
    """The answer to whether a family can be used."""

    ON = "on"
    OFF = "off"
    """The user has switched it off."""
    MISSING = "missing"
    """Its extra is not installed."""
    BROKEN = "broken"
    """Its code has a fault."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A family of this installation, usable or not.

    Attributes:
        name: the family's name.
        kind: its class; None if the family is broken, even if it is also switched off.
        presence: whether it can be used.
        absence: why it cannot, and what to do about that; empty if it can.
    """

    name: str
    kind: type[JobFamily] | None
    presence: Presence
    absence: str = ""

    @property
    def summary(self) -> str:
        """What the family does, in one line; empty if unknown."""
        return self.kind.summary if self.kind else ""

    @property
    def command(self) -> str:
        """The name of its group of commands. A family that cannot be imported has only its own name."""
        return (self.kind.command if self.kind else "") or self.name


def guests(settings: Settings) -> list[Guest]:
    """Return all families of this installation, sorted by name.

    Raises:
        ConfigurationError: a family is switched off that does not exist.
    """
    known = found()
    if unknown := sorted(set(settings.families_off) - known.keys()):
        raise ConfigurationError(
            f"CELERIAC_FAMILIES_OFF={','.join(settings.families_off)}: there is no family {', '.join(unknown)}; "
            f"there are {', '.join(known) or 'none'}"
        )
    return [_guest(name, kind, settings.families_off) for name, kind in known.items()]


def guests_unread() -> list[Guest]:
    """Return all families for a command line whose settings cannot be read: nobody knows which are switched off."""
    return [_guest(name, kind, ()) for name, kind in found().items()]


def host_families(app: Celeriac, own: Mapping[str, FamilySettings] | None = None) -> None:
    """Include all usable families in `app`, and record there why the others are absent.

    `own` has families' settings by name; the environment has the rest. A broken family does not stop the others.

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
    """Return the classes of the usable families. Raises as `guests` does."""
    return [guest.kind for guest in guests(settings) if guest.kind is not None and not guest.absence]


def migrations(settings: Settings) -> list[Migrations]:
    """Return the table histories of the usable families. Warn of a family whose `migrations()` fails.

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
    """Return the settings classes of the families of this installation."""
    return [kind.settings_class for kind in found().values() if not isinstance(kind, str)]


@cache
def found() -> Mapping[str, type[JobFamily] | str]:
    """Return the classes of all families of this installation by name, or for a broken one what is wrong.

    A family's extra need not be installed.
    """
    kinds: dict[str, type[JobFamily] | str] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in kinds:
            kinds[entry.name] = f"the job family {entry.name!r} is broken: two packages define it"
        else:
            kinds[entry.name] = _load(entry)
    commands = set(kinds)
    for name, kind in kinds.items():
        if isinstance(kind, str) or kind.command in ("", name):
            continue
        if kind.command in commands:
            kinds[name] = f"the job family {name!r} is broken: another has the command {kind.command!r}"
        commands.add(kind.command)
    return kinds


async def check(kind: type[JobFamily], own: FamilySettings | None = None) -> Sequence[Finding]:
    """Run a family's check of its external services. Never raises. `own` replaces settings of the environment."""
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
    """Write a warning to stderr in one line, only once in this process."""
    sys.stderr.write(f"celeriac: warning: {one_line(message)}\n")


def warn_of_broken(settings: Settings) -> None:
    """Warn of each broken family. Raises as `guests` does."""
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
    """Return the class that an entry point names, or what is wrong with it."""
    where = f"the job family {entry.name!r} ({entry.value}) is broken: it"
    try:
        kind = entry.load()
    except (Exception, SystemExit) as error:
        return f"{where} cannot be imported: {type(error).__name__}: {error}"
    if not (isinstance(kind, type) and issubclass(kind, JobFamily)):
        return f"{where} is not a class that inherits from celeriac.family.JobFamily"
    if missing := [name for name in ("name", "summary") if not isinstance(getattr(kind, name, None), str)]:
        return f"{where} has no {' and no '.join(missing)}"
    if isabstract(kind):
        return f"{where} does not define {', '.join(sorted(kind.__abstractmethods__))}"
    if kind.name != entry.name or not _NAME.fullmatch(kind.name) or kind.name in _TAKEN:
        return (
            f"{where} has the name {kind.name!r}: use the name of its entry point, only a-z, 0-9 and _, "
            f"and none of {', '.join(sorted(_TAKEN))}"
        )
    if kind.command and (not _NAME.fullmatch(kind.command) or kind.command in _TAKEN):
        return f"{where} has the command {kind.command!r}: use only a-z, 0-9 and _, and none of Celeriac's own commands"
    return kind


def _guest(name: str, kind: type[JobFamily] | str, switched: Collection[str]) -> Guest:
    known = None if isinstance(kind, str) else kind
    if name in switched:
        return Guest(name, known, Presence.OFF, switched_off(name))
    if isinstance(kind, str):
        return Guest(name, None, Presence.BROKEN, kind)
    if missing := kind.why_missing():
        return Guest(name, kind, Presence.MISSING, missing)
    return Guest(name, kind, Presence.ON)
