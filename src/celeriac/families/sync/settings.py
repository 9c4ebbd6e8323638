"""The settings of syncs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from celeriac.core.pairs import parse_pairs
from celeriac.family import FamilySettings


class SyncSettings(FamilySettings):
    """The settings of syncs: where records may go, and where syncs are defined."""

    sync_connections: Mapping[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Databases that syncs may write, `name=url` separated by spaces: `shop=postgresql://writer:password@host/shop`,
    `archive=sqlite:////srv/archive.db`, `old=mysql://writer:password@host/old`. A run creates an SQLite
    file that is missing, but no folder."""
    sync_folder: Path | None = None
    """Folder of definitions, `NAME.yaml`, one sync each."""
    sync_queue: str | None = Field(default=None, min_length=1, max_length=100)
    """Queue of the jobs that run syncs. Unset: the application's own. Start a worker with `--queues` for it."""
    sync_retention: float = Field(default=30 * 86400.0, ge=3600, allow_inf_nan=False)
    """Seconds for which runs are listed, and rejected records are kept."""

    @field_validator("sync_connections", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return parse_pairs(value, "name=url") if isinstance(value, str) else value

    @field_validator("sync_connections")
    @classmethod
    def _understood(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        from celeriac.database.named import check_urls  # only if somebody names one

        return check_urls(value) if value else value

    @field_validator("sync_folder")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("there is no such folder")
        return value
