"""Refuses versions of Celery and kombu that the engine was not written for: it uses their private names."""

from __future__ import annotations

from celeriac.core.errors import ConfigurationError

#: The minor version of both.
SUPPORTED = "5.7"


def check(**installed: str) -> None:
    """Check the installed version of each package.

    Raises:
        ConfigurationError: one is not supported; the message names it, and how to install one that is.
    """
    for name, version in installed.items():
        if version.split(".")[:2] != SUPPORTED.split("."):
            raise ConfigurationError(
                f"{name} {version} is installed, and Celeriac needs {SUPPORTED}: pip install '{name}~={SUPPORTED}.0'"
            )
