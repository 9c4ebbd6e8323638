"""The settings of reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from celeriac.core.pairs import parse_pairs
from celeriac.family import FamilySettings
from celeriac.secret import check_place

_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+asyncpg")


class ReportsSettings(FamilySettings):
    """The settings of reports: where their data is, and how much each may take."""

    reports_connections: Mapping[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Databases that reports may read, `name=url` separated by spaces: `shop=postgresql://reader:password@host/shop`,
    `archive=sqlite:////srv/archive.db`."""
    reports_passwords: Mapping[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Passwords of PDFs that callers may choose by name, and never see: `board=env:BOARD_PASSWORD` takes a variable of
    the worker, `audit=file:/run/secrets/audit` a file there. Separated by spaces."""
    reports_queue: str | None = Field(default=None, min_length=1, max_length=100)
    """Queue of the jobs that make reports. Unset: the application's own. Start a worker with `--queues` for it."""
    reports_queries: Path | None = None
    """Folder with queries, `NAME.sql`, that callers may ask for by name."""
    reports_free_sql: bool = False
    """Whether callers of the API may send SQL of their own. They can then read all that a connection's user can."""
    reports_query_timeout: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds that a database may take for the data of one report."""
    reports_timeout: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds that one report may take. Its process is killed after that."""
    reports_memory_mb: int = Field(default=2048, ge=256)
    """Megabytes of memory that one report may take. A report that asks for more fails. Charts alone need 700."""
    reports_max_rows: int = Field(default=1_000_000, ge=1)
    """Most rows that one report may have."""
    reports_max_data_mb: int = Field(default=2000, ge=1)
    """Megabytes that the rows of one report may have on disk while it is made."""
    reports_max_cell: int = Field(default=32_767, ge=1)
    """Most characters that one cell may have. The default is that of XLSX."""
    reports_unpacked_mb: int = Field(default=1024, ge=1)
    """Megabytes that an uploaded XLSX or Parquet file may have when it is unpacked."""
    reports_scratch: Path | None = None
    """Folder for a report's rows while it is made. Unset: a folder in the system's temporary one."""
    reports_logo: Path | None = None
    """SVG or PNG file with the logo of all reports."""
    reports_colour: str | None = Field(default=None, pattern="^#[0-9a-fA-F]{6}$")
    """Accent colour of all reports, `#rrggbb`."""
    reports_font: str | None = Field(default=None, min_length=1, max_length=100)
    """Font family of all reports. Unset: the packaged Noto Sans."""
    reports_font_folder: Path | None = None
    """Folder with the TTF or OTF files of that font."""
    reports_link_url: str | None = None
    """Where the API serves links, `https://shop.example/links`. With it, results of reports have links to the files."""
    reports_link_seconds: int = Field(default=7 * 86_400, ge=60, le=31 * 86_400)
    """Seconds for which those links are valid."""

    @field_validator("reports_connections", "reports_passwords", mode="before")
    @classmethod
    def _named(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        is_url = info.field_name == "reports_connections"
        return parse_pairs(value, "name=url" if is_url else "name=env:VARIABLE or name=file:PATH")

    @field_validator("reports_passwords")
    @classmethod
    def _placed(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, place in value.items():  # secret: somebody may put a password here
            try:
                check_place(place.get_secret_value())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return value

    @field_validator("reports_connections")
    @classmethod
    def _understood(cls, value: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        for name, url in value.items():
            try:
                parts = urlsplit(url.get_secret_value())
                for host in parts.netloc.rpartition("@")[2].split(","):  # there may be several, each with a port
                    _ = urlsplit(f"//{host}").port
            except ValueError:  # whose words may have a part of the password
                raise ValueError(
                    f"the URL of {name} has no valid port; percent-encode the password, such as %2F for /"
                ) from None
            if parts.scheme not in _SCHEMES:
                raise ValueError(f"the URL of {name} must begin with sqlite:/// or postgresql://")
        return value

    @field_validator("reports_queries", "reports_font_folder")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("there is no such folder")
        return value

    @field_validator("reports_logo")
    @classmethod
    def _file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file")
        return value

    @field_validator("reports_link_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("expected http://… or https://…")
        return value
