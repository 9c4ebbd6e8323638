"""What a job family is to the application that hosts it.

A family is a guest: a package with its own tables, logic, jobs, routes, commands, settings, errors and checks. It is
found through the entry-point group `celeriac.families`, and the house knows it by the class below alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
        settings: the application's.
        own: the family's own, of its `settings_class`.
        open_database: the database that all families share; made when the first of them asks for it.
    """

    app: JobApp
    settings: Settings
    own: Any
    open_database: Callable[[], Database]

    @property
    def database(self) -> Database:
        """The application's database, with the tables of the families. Connects when it is first used."""
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
    async def check(cls) -> Sequence[Finding]:
        """What `celeriac doctor` says of what it needs outside, a server say. Never raises for what it may find."""
        return ()

    @classmethod
    def demo(cls) -> type[Demo] | None:
        """What `./dev demo NAME` runs; None if there is nothing to show."""
        return None

    def router(self, **options: Any) -> APIRouter | None:
        """Its routes, to be included under `/NAME`; None if it has none. `options` are `fastapi.APIRouter`'s."""
        return None
