"""The class `Celeriac` that users import: the engine's application with a router for FastAPI and job families."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.core import extras
from celeriac.core.errors import ApplicationNotLoaded, ConfigurationError, FamilyAbsent, NotInstalled
from celeriac.core.routing import Routing
from celeriac.core.spec import JobSpec
from celeriac.engine.adoption import broker_url_of, routing_of
from celeriac.engine.app import JobApp
from celeriac.engine.start.loading import load
from celeriac.settings import DEFAULT_APP, Settings

if TYPE_CHECKING:  # imported only when used: a worker needs no FastAPI, and many need no database
    from fastapi import APIRouter

    from celeriac.database.engine import Database
    from celeriac.database.migrations import Migrations
    from celeriac.family import FamilySettings, JobFamily

F = TypeVar("F", bound="JobFamily")


class Celeriac(JobApp):
    """A `celery.Celery` with typed jobs, a job API for FastAPI, and settings that are safe on Redis.

    app = Celeriac("shop")
    api = FastAPI(lifespan=app.lifespan)
    api.include_router(app.router(), prefix="/jobs")
    """

    def router(self, **options: Any) -> APIRouter:
        """Make the job API, to include under a prefix. `options` go to `fastapi.APIRouter`.

        It does not authenticate callers: pass your own `dependencies`, or use `celeriac.asgi`.
        """
        from celeriac.http.router import create_router

        return create_router(self, **options)

    def uploads(self, **options: Any) -> APIRouter:
        """The upload resource, to include under a prefix. `options` are `fastapi.APIRouter`'s, `dependencies` say.

        Raises:
            NotInstalled: the extra `celeriac[storage]` is not installed.
        """
        extras.require_extra("storage", "the upload API")
        from celeriac.http.uploads import create_uploads_router

        return create_uploads_router(self, **options)

    def links(self, **options: Any) -> APIRouter:
        """What links to artifacts lead to, to include under a prefix without dependencies: a link is a permission.

        Raises:
            NotInstalled: the extra `celeriac[storage]` is not installed.
        """
        extras.require_extra("storage", "links to artifacts")
        from celeriac.http.artifacts import create_links_router

        return create_links_router(self, **options)

    def sweep_files(self, *, every: float = 3600) -> None:
        """Have beat delete artifacts and uploads whose time is over, and what crashes have left, every so many seconds.

        It adds the job `celeriac.sweep_files` and its schedule. The built-in application has them.

        Raises:
            NotInstalled: the extra `celeriac[storage]` is not installed.
        """
        extras.require_extra("storage", "deleting old files")
        from celeriac import sweeping

        sweeping.register(self, every)

    @cached_property
    def families(self) -> dict[str, JobFamily]:
        """The job families that this application hosts, by name."""
        return {}

    @cached_property
    def family_settings(self) -> dict[str, FamilySettings]:
        """The settings of the hosted job families, by name."""
        return {}

    @cached_property
    def absent_families(self) -> dict[str, str]:
        """The reasons why the built-in application does not host some families, by name."""
        return {}

    @cached_property
    def database(self) -> Database:
        """The database of `CELERIAC_DATABASE_URL`, which all families share. Its first use connects."""
        extras.require_extra("database", "a job family with tables")
        from celeriac.database.engine import Database

        return Database(self.settings.database(), self._histories)

    def _histories(self) -> list[Migrations]:
        found = [family.migrations() for family in self.families.values()]
        return [history for history in found if history is not None]

    def include_family(self, kind: type[F], settings: FamilySettings | None = None) -> F:
        """Host a job family: add its jobs, and make its routes and commands available.

        email = app.include_family(EmailFamily)
        api.include_router(email.router(), prefix="/email")

        `settings` are the family's own. By default the environment has them.

        Raises:
            NotInstalled: the family's extra is not installed.
            ConfigurationError: the family is switched off, or one of its settings is wrong.
        """
        from celeriac.family import Host, switched_off

        if kind.name in self.families:
            raise ConfigurationError(f"the job family {kind.name!r} has been included in this application before")
        if missing := kind.why_missing():
            raise NotInstalled(missing)
        if kind.name in self.settings.families_off:
            raise ConfigurationError(switched_off(kind.name))
        for name in kind.shortcuts:
            if hasattr(self, name):
                raise ConfigurationError(f"the job family {kind.name!r} offers {name!r}, which the application has")
        own = settings or kind.read_settings()
        family = kind(Host(self, own, lambda: self.database))
        self.families[kind.name], self.family_settings[kind.name] = family, own
        if "database" in vars(self):  # used already, maybe
            self.database.check_schema_again()
        return family

    def family(self, kind: type[F]) -> F:
        """Return the job family of class `kind` that this application hosts.

        Raises:
            FamilyAbsent: the application does not host it.
        """
        found = self.families.get(kind.name)
        if not isinstance(found, kind):
            raise FamilyAbsent(
                f"this application does not have the job family {kind.name!r}: call app.include_family({kind.__name__})"
            )
        return found

    if not TYPE_CHECKING:  # a type checker shall report a missing attribute

        def __getattr__(self, name: str) -> Any:
            """Return the method of a hosted family that has `name` as a shortcut."""
            for family in self.families.values():
                if (method := family.shortcuts.get(name)) is not None:
                    return getattr(family, method)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}, nor a job family that offers it: "
                "app.include_family(...) adds one",
                name=name,
                obj=self,
            )


def load_app(path: str) -> JobApp:
    """Import the application at `module:attribute` (or Celery's `module.attribute`), from the working directory.

    Raises:
        ApplicationNotLoaded: there is no such application.
    """
    found = load(path)
    if not isinstance(found, JobApp):
        raise ApplicationNotLoaded(
            f"CELERIAC_APP={path} (or --app): is a {type(found).__name__}. Only a Celeriac application "
            "keeps records of its jobs: see https://github.com/celeriac/celeriac/blob/main/docs/how-to/migrate-celery.md"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Broker:
    """The broker of an application, and its queues.

    Attributes:
        url: the broker's URL.
        routing: chooses the Redis list of a queue for a message.
        queues: the queues that the application names.
    """

    url: str
    routing: Routing = field(default_factory=Routing)
    queues: frozenset[str] = frozenset()


def load_broker(settings: Settings) -> Broker:
    """Return the broker of the application that the settings name, else that of the settings.

    The application may be a plain `celery.Celery`.

    Raises:
        ApplicationNotLoaded: there is no such application.
        ConfigurationError: its broker is not Redis.
    """
    if settings.app == DEFAULT_APP:
        return Broker(url=settings.broker())
    app: Any = load(settings.app)
    url = broker_url_of(app)
    if url is None:
        raise ConfigurationError(
            f"CELERIAC_APP={settings.app} (or --app): is not an application with a broker on Redis"
        )
    specs: dict[str, JobSpec] = getattr(app, "specs", {})
    own = [spec.options.queue for spec in specs.values() if spec.options.queue]
    return Broker(url=url, routing=routing_of(app), queues=frozenset([*map(str, app.amqp.queues), *own]))
