"""Cleanup: deletes, archives and anonymises old rows of databases, a chunk at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from celeriac.core.lazy_names import lazy_names
from celeriac.families.cleanup.settings import CleanupSettings
from celeriac.family import FamilySettings, Host, JobFamily

if TYPE_CHECKING:
    from fastapi import APIRouter
    from typer import Typer

    from celeriac.core.findings import Finding
    from celeriac.demo import Demo
    from celeriac.families.cleanup.actions import Actions
    from celeriac.families.cleanup.history import History
    from celeriac.families.cleanup.policy import (
        Age,
        ArchiveTo,
        Budget,
        Child,
        Chunk,
        Hashed,
        Pattern,
        Policy,
        Schedule,
        Where,
    )
    from celeriac.families.cleanup.submissions import Submissions
    from celeriac.families.cleanup.throttles import Flag, Load, ReplicaLag, SqlProbe
    from celeriac.families.cleanup.windows import Window

__all__ = [
    "Age",
    "ArchiveTo",
    "Budget",
    "Child",
    "Chunk",
    "CleanupFamily",
    "CleanupSettings",
    "Flag",
    "Hashed",
    "Load",
    "Pattern",
    "Policy",
    "ReplicaLag",
    "Schedule",
    "SqlProbe",
    "Where",
    "Window",
]

# The models of policies, by the modules that have them. pydantic builds one when somebody asks for it.
__getattr__ = lazy_names(
    __name__,
    {
        "policy": ("Policy", "Where", "Age", "ArchiveTo", "Hashed", "Pattern", "Child", "Chunk", "Budget", "Schedule"),
        "windows": ("Window",),
        "throttles": ("ReplicaLag", "SqlProbe", "Load", "Flag"),
    },
)


class CleanupFamily(JobFamily):
    """The cleanup family, as entry points name it. It imports the packages of its extra only when they are used."""

    name = "cleanup"
    summary = "Old rows of databases: deleted, archived or anonymised, a chunk at a time"
    extra = "celeriac[cleanup]"
    requires = ("sqlalchemy", "alembic", "yaml")
    settings_class: ClassVar[type[FamilySettings]] = CleanupSettings
    shortcuts: ClassVar[Mapping[str, str]] = {"cleanup": "add"}

    def __init__(self, host: Host) -> None:
        from celeriac.families.cleanup.jobs import register
        from celeriac.families.cleanup.jobs_asked import register_dry_run, register_restore
        from celeriac.families.cleanup.places import Places
        from celeriac.families.cleanup.policies import Policies

        self.host = host
        self.settings = cast(CleanupSettings, host.own)
        self.places = Places(self.settings, host.settings.data_dir)
        self.policies = Policies(self._schedule, self.places.check)
        self.run = register(host.app, self.policies, self.places, self.settings)
        self.look = register_dry_run(host.app, self.policies, self.places, self.settings)
        self.restore = register_restore(host.app, self.policies, self.places, self.settings)
        if self.settings.cleanup_folder is not None:
            self.policies.add_folder(self.settings.cleanup_folder)
        host.app.when_complete(self.policies.check_complete)

    def add(self, policy: Policy) -> Policy:
        """Add a policy: `app.cleanup(Policy(...))`.

        Raises:
            PolicyInvalid: another one has its name, or it cannot be used here.
        """
        self.policies.add(policy)
        return policy

    @cached_property
    def actions(self) -> Actions:
        """What its API and its commands do."""
        from celeriac.families.cleanup.actions import Actions

        return Actions(self.host.app, self.policies, self.places)

    @cached_property
    def submissions(self) -> Submissions:
        """What callers may enqueue."""
        from celeriac.families.cleanup.submissions import Submissions

        return Submissions(self.host.app, self.actions, run=self.run, look=self.look, restore=self.restore)

    @cached_property
    def history(self) -> History:
        """What policies have done."""
        from celeriac.families.cleanup.history import History

        return History(self.host.app, self.policies, self.places)

    @classmethod
    def commands(cls) -> Typer:
        from celeriac.families.cleanup.cli import cleanup

        return cleanup

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        from celeriac.families.cleanup.checks import check_cleanup

        return await check_cleanup(own)

    @classmethod
    def demo(cls) -> type[Demo]:
        from celeriac.families.cleanup.demo import CleanupDemo

        return CleanupDemo

    def router(self, **options: Any) -> APIRouter:
        from celeriac.families.cleanup.api import create_cleanup_router

        return create_cleanup_router(self, **options)

    def _schedule(self, policy: Policy) -> None:
        name, when = policy.name, policy.schedule
        if when is not None:
            call = self.run.call(policy=name)
            self.host.app.schedule(
                f"celeriac.cleanup.{name}", call, every=when.every, cron=when.cron, timezone=when.timezone
            )
