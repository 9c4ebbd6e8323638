"""The settings of cleanup."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from celeriac.core.pairs import parse_pairs
from celeriac.family import FamilySettings


class CleanupSettings(FamilySettings):
    """The settings of cleanup: which databases and tables may be cleaned, by which policies."""

    cleanup_connections: Mapping[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Databases that may be cleaned, `name=url` separated by spaces: `shop=postgresql://cleaner:password@host/shop`.
    SQLite, Postgres and MySQL. Locks and the audit are in tables there, which the first run creates."""
    cleanup_tables: tuple[str, ...] = ()
    """Tables that may be cleaned, `connection.table` or `connection.schema.table` separated by spaces:
    `shop.orders shop.order_items`. Those of foreign keys are to be named as well. Names with spaces need a list in
    JSON: `["shop.order items"]`."""
    cleanup_folder: Path | None = None
    """Folder with policies, one in each `NAME.yaml`."""
    cleanup_archives: Path | None = None
    """Folder of archives. Its parent has to exist. Unset: `cleanup-archives` in `data_dir`."""
    cleanup_retention: float = Field(default=90 * 86400.0, ge=3600, allow_inf_nan=False)
    """Seconds for which runs that have changed nothing are listed. Older ones are forgotten after a run."""
    cleanup_audit_retention: float = Field(default=3650 * 86400.0, ge=3600, allow_inf_nan=False)
    """Seconds for which runs that have changed rows are kept, with their audit. `cleanup restore` finds archives by it:
    keep it as long as these. Archives stay."""
    cleanup_queue: str | None = Field(default=None, min_length=1, max_length=100)
    """Queue of the jobs that clean. Unset: the application's own."""

    @field_validator("cleanup_connections", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return parse_pairs(value, "name=url") if isinstance(value, str) else value

    @field_validator("cleanup_connections")
    @classmethod
    def _understood(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        if not value:  # the extra may not be installed
            return value
        from celeriac.database.named import check_urls

        return check_urls(value)

    @field_validator("cleanup_tables", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not value.lstrip().startswith("["):
            return tuple(value.split())
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("expected `connection.table` separated by spaces, or a list in JSON") from None

    @field_validator("cleanup_tables")
    @classmethod
    def _complete(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not all(name.split(".")) or not 2 <= len(name.split(".")) <= 3:
                raise ValueError(f"{name!r} is no connection.table or connection.schema.table")
        return value

    @field_validator("cleanup_folder")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("there is no such folder")
        return value
