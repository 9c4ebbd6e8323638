"""Settings on their way to a child process: as environment variables, which other users cannot read."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from celeriac.settings import Settings


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables from which `load_settings` makes the same settings, in whatever directory."""
    complete = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
    return {f"CELERIAC_{name.upper()}": _text(value) for name, value in complete if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(_text, value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)
