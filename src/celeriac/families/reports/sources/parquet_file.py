"""Reads Parquet files with DuckDB, which may open this one file and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import duckdb

from celeriac.families.reports.errors import DataInvalid, DataTooLarge
from celeriac.families.reports.sources.data import BATCH_ROWS, Data, Row

_MEMORY = "512MB"


@asynccontextmanager
async def read_parquet(name: str, path: Path, unpacked_bytes: int) -> AsyncGenerator[Data]:
    """Give the rows of the Parquet file at `path`.

    Raises:
        DataTooLarge: it is larger than `unpacked_bytes` when it is unpacked, as the file says.
        DataInvalid: it is broken, or is none.
    """
    with closing(_connected(path)) as connection:
        try:
            (unpacked, count) = connection.execute(
                "SELECT sum(total_uncompressed_size), max(rows) FROM parquet_metadata($1), "
                "(SELECT sum(num_rows) AS rows FROM parquet_file_metadata($1))",
                [str(path)],
            ).fetchone()
            if (unpacked or 0) > unpacked_bytes:
                raise DataTooLarge(
                    f"{name} has {unpacked // 1_000_000:,} MB when it is unpacked; "
                    "CELERIAC_REPORTS_UNPACKED_MB allows more"
                )
            found = connection.execute("SELECT * FROM read_parquet($1)", [str(path)])
        except duckdb.Error as error:
            raise _broken(name, error) from None
        columns = [str(column[0]) for column in found.description]
        yield Data(columns=columns, batches=_batches(name, found), total=int(count or 0), details={"file": name})


def _connected(path: Path) -> Any:
    connection = cast(Any, duckdb).connect(":memory:")
    connection.execute(f"SET memory_limit = '{_MEMORY}'")
    connection.execute("SET threads = 1")
    connection.execute("SET temp_directory = ''")
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_paths = [{_quoted(str(path))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


async def _batches(name: str, found: Any) -> AsyncGenerator[list[Row]]:
    try:
        while batch := found.fetchmany(BATCH_ROWS):
            yield batch
    except (duckdb.Error, ValueError, OverflowError) as error:  # dates that Python lacks, say
        raise _broken(name, error) from None


def _broken(name: str, error: Exception) -> DataInvalid:
    return DataInvalid(f"{name} cannot be read as Parquet: {' '.join(str(error).split())[:300]}")
