"""What a job family is to the application that hosts it.

A family is a guest: a package with its own tables, logic, jobs, routes, commands, settings, errors and checks. It is
found through the entry-point group `celeriac.families`, and the house knows it by the class below alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.core import extras
from celeriac.settings import FamilySettings, Settings, read

if TYPE_CHECKING:  # what a worker may have no use for
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.core.findings import Finding
    from celeriac.database.engine import Database
    from celeriac.database.migrations import Migrations
    from celeriac.demo import Demo
    from celeriac.engine.app import JobApp

__all__ = ["FamilySettings", "Host", "JobFamily"]


@dataclass(frozen=True, slots=True)
class Host:
    """What a family is given to work with.

    Attributes:
        app: the application that its jobs are added to.
        own: the family's settings, of its `settings_class`.
        open_database: returns the database that all families of the application share.
    """

    app: JobApp
    own: Any
    open_database: Callable[[], Database]

    @property
    def settings(self) -> Settings:
        """The application's settings."""
        return self.app.settings

    @property
    def database(self) -> Database:
        """The database that all families of the application share. Its first use connects, and makes the tables."""
        return self.open_database()


class JobFamily(ABC):
    """A job family, as an instance for each application that hosts it. Nothing connects before it is used.

    Attributes:
        name: lower-case; the prefix of its routes, its group of commands, a part of its tables' names.
        summary: what it does, in one line.
        extra: what to install for it, `celeriac[email]` say; empty if it comes with its package.
        requires: the packages that the extra brings, as they are imported; by which its absence is seen.
        settings_class: what can be configured; its own, or none.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    extra: ClassVar[str] = ""
    requires: ClassVar[Sequence[str]] = ()
    settings_class: ClassVar[type[FamilySettings]] = FamilySettings

    @abstractmethod
    def __init__(self, host: Host) -> None:
        """Add the family's jobs to `host.app`.

        Raises:
            ConfigurationError: a setting is wrong.
        """

    @classmethod
    def why_missing(cls) -> str:
        """What to install for it; empty if all that it needs is there. The modules are looked for, not imported."""
        missing = extras.absent(cls.requires)
        if not missing:
            return ""
        advice = extras.advice(cls.extra) if cls.extra else f"install {', '.join(missing)}"
        return f"the job family {cls.name!r} is not installed: {advice}"

    @classmethod
    def migrations(cls) -> Migrations | None:
        """The history of its tables; None if it has none."""
        return None

    @classmethod
    def read_settings(cls) -> FamilySettings:
        """Its settings, from the environment.

        Raises:
            ConfigurationError: names each wrong option, its value and what is expected.
        """
        return read(cls.settings_class)

    @classmethod
    def commands(cls) -> Typer | None:
        """Its group of commands, `celeriac NAME …`; None if it has none."""
        return None

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        """What `celeriac doctor` and `/health/ready` say of what it needs outside, a server say.

        `own` are its settings. It gives up after a few seconds, and never raises for what it may find.
        """
        return ()

    @classmethod
    def demo(cls) -> type[Demo] | None:
        """What `./dev demo NAME` runs; None if there is nothing to show."""
        return None

    def router(self, **options: Any) -> APIRouter | None:
        """Its routes, to be included under `/NAME`; None if it has none. `options` are `fastapi.APIRouter`'s."""
        return None


def switched_off(name: str) -> str:
    """Say what to do so that the family is switched on."""
    return f"the job family {name!r} is switched off: take it out of CELERIAC_FAMILIES_OFF"
