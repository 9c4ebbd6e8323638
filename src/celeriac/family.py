"""The interface between a job family and the application that hosts it.

A family is a package with its own tables, logic, jobs, routes, commands, settings, errors and checks. Celeriac finds it
through the entry-point group `celeriac.families`, and uses only the class `JobFamily`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.core import extras
from celeriac.settings import FamilySettings, Settings, read

if TYPE_CHECKING:  # many workers need none of these
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
    """The application, settings and database that a family gets from its host.

    Attributes:
        app: the application to which the family adds its jobs.
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
        """The database that all families of the application share. Its first use connects, and creates the tables."""
        return self.open_database()


class JobFamily(ABC):
    """A job family in one application that hosts it. It connects to nothing before its first use.

    Attributes:
        name: a lower-case name: the prefix of its routes, its group of commands, a part of its tables' names.
        command: another name that its group of commands is listed under, such as a singular; empty: `name`.
        summary: what the family does, in one line.
        extra: what to install for it, such as `celeriac[email]`; empty if it needs none.
        requires: import names of the extra's packages. The family counts as not installed if one is missing.
        settings_class: the class of its settings.
        shortcuts: names under which an application that hosts the family offers methods of it: `report_source` is
            `source`, so `@app.report_source` is what `@app.family(ReportsFamily).source` is.
    """

    name: ClassVar[str]
    command: ClassVar[str] = ""
    summary: ClassVar[str]
    extra: ClassVar[str] = ""
    requires: ClassVar[Sequence[str]] = ()
    settings_class: ClassVar[type[FamilySettings]] = FamilySettings
    shortcuts: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def __init__(self, host: Host) -> None:
        """Add the family's jobs to `host.app`.

        Raises:
            ConfigurationError: a setting is wrong.
        """

    @classmethod
    def why_missing(cls) -> str:
        """Say what to install for the family; empty if nothing is missing. It finds modules without importing them."""
        missing = extras.absent(cls.requires)
        if not missing:
            return ""
        advice = extras.advice(cls.extra) if cls.extra else f"install {', '.join(missing)}"
        return f"the job family {cls.name!r} is not installed: {advice}"

    @classmethod
    def migrations(cls) -> Migrations | None:
        """Return the history of its tables, or None if it has no tables."""
        return None

    @classmethod
    def read_settings(cls) -> FamilySettings:
        """Read the family's settings from the environment.

        Raises:
            ConfigurationError: the message names each wrong option, its value and what is expected.
        """
        return read(cls.settings_class)

    @classmethod
    def commands(cls) -> Typer | None:
        """Return its group of commands, `celeriac NAME …`, or None if it has none."""
        return None

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        """Check external services of the family, such as a server, for `celeriac doctor` and `/health/ready`.

        `own` has the family's settings. Give up after a few seconds, and report each fault as a finding.
        """
        return ()

    @classmethod
    def demo(cls) -> type[Demo] | None:
        """Return the demo that `./dev demo NAME` runs, or None if there is none."""
        return None

    def router(self, **options: Any) -> APIRouter | None:
        """Return its routes for the prefix `/NAME`, or None if it has none. `options` go to `fastapi.APIRouter`."""
        return None

    def public_router(self, **options: Any) -> APIRouter | None:
        """Return the routes for the prefix `/NAME` that need no API key, such as links in mails, or None.

        What comes in is a stranger's: each route checks by itself what it may do. `options` go to `fastapi.APIRouter`.
        """
        return None


def switched_off(name: str) -> str:
    """Say how to switch the family on."""
    return f"the job family {name!r} is switched off: take it out of CELERIAC_FAMILIES_OFF"
