"""A job family in a package of its own: a job, a route, a command, a setting and a check.

Install it beside Celeriac (`pip install .`), and the built-in application has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from celeriac.core.findings import Finding, ok
from celeriac.family import FamilySettings, Host, JobFamily
from celeriac.settings import read

if TYPE_CHECKING:
    from typer import Typer


class GreetingsSettings(FamilySettings):
    """What can be configured of greetings."""

    greeting: str = "Hello"
    """The word that greetings begin with: `CELERIAC_GREETING`."""


class GreetingsFamily(JobFamily):
    """Greets people, in a worker."""

    name = "greetings"
    summary = "Greets people"
    settings_class = GreetingsSettings

    def __init__(self, host: Host) -> None:
        own: GreetingsSettings = host.own

        @host.app.job(name="greetings.greet", exposed=False)
        async def greet(name: str) -> str:
            return f"{own.greeting}, {name}!"

        self._greet = greet

    def router(self, **options: Any) -> APIRouter:
        router = APIRouter(tags=["greetings"], **options)

        @router.post("", status_code=202)
        async def post_greeting(name: str) -> dict[str, str]:
            """Have somebody greeted; the job, at `/jobs/{id}`, has the greeting."""
            handle = await self._greet.enqueue(name)
            return {"id": handle.id}

        return router

    @classmethod
    def commands(cls) -> Typer:
        import typer  # here: applications without the extra `cli` have no typer

        commands = typer.Typer(name=cls.name, help="Greet people.", no_args_is_help=True)

        @commands.callback()
        def group() -> None:
            """Greet people."""

        @commands.command()
        def word() -> None:
            """Print the word that greetings begin with."""
            typer.echo(read(GreetingsSettings).greeting)

        return commands

    @classmethod
    async def check(cls, own: Any) -> Sequence[Finding]:
        return [ok("greetings", "nothing is needed")]
