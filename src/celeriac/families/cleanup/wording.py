"""How each database says it: names, a row among some keys, and a row after a key.

Names come from the database itself, or from configuration, and are quoted. Values are always bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Dialect, TextClause, bindparam, text

from celeriac.core import codec

Key = tuple[Any, ...]
Parameters = dict[str, Any]


#: Values that one statement may have as SQLite is built by default. Some statements name the rows of a chunk twice.
_SQLITE_VALUES = 32_766


class Wording:
    """The SQL of one database's dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect.name
        self._preparer = dialect.identifier_preparer

    def quoted(self, name: str) -> str:
        """Quote a name for SQLAlchemy's `text`, which would take a part after a colon for a parameter."""
        quoted = self._preparer.quote(name)
        if "%" in name:  # `text` doubles it for drivers that need that
            quoted = quoted.replace("%%", "%")
        return quoted.replace(":", "\\:")

    def names(self, columns: Sequence[str]) -> str:
        """Quote several names."""
        return ", ".join(map(self.quoted, columns))

    @property
    def for_update(self) -> str:
        """What keeps others from changing the rows of a query. A transaction of SQLite has the file for itself."""
        return "" if self.dialect == "sqlite" else " FOR UPDATE"

    @property
    def can_return(self) -> bool:
        """Whether a DELETE can give its rows back."""
        return self.dialect in ("postgresql", "sqlite")

    def among(self, columns: Sequence[str], types: Mapping[str, str], name: str) -> str:
        """Say that columns have the values of one of some keys: `celeriac_NAME`.

        Args:
            columns: their names.
            types: the type of each, as the database writes it.
            name: of the parameters.
        """
        quoted = self.names(columns)
        if self._are_numbers(columns, types):
            return f"{quoted} IN (SELECT value FROM json_each(:celeriac_{name}))"  # noqa: S608 (quoted names)
        if self.dialect != "postgresql":
            return f"{quoted} IN :celeriac_{name}" if len(columns) == 1 else f"({quoted}) IN :celeriac_{name}"
        if len(columns) == 1:
            return f"{quoted} = ANY(:celeriac_{name}_0)"
        arrays = ", ".join(f"CAST(:celeriac_{name}_{at} AS {types[one]}[])" for at, one in enumerate(columns))
        return f"({quoted}) IN (SELECT * FROM unnest({arrays}))"  # noqa: S608 (quoted names)

    def _are_numbers(self, columns: Sequence[str], types: Mapping[str, str]) -> bool:
        """Whether keys can be one parameter of SQLite. SQLAlchemy takes long to make one of each."""
        return self.dialect == "sqlite" and len(columns) == 1 and types.get(columns[0], "").upper() == "INTEGER"

    def among_parameters(
        self, name: str, columns: Sequence[str], types: Mapping[str, str], keys: Sequence[Key]
    ) -> Parameters:
        """Return keys as parameters of `among`."""
        if self._are_numbers(columns, types):
            return {f"celeriac_{name}": codec.dumps_text([key[0] for key in keys])}
        if self.dialect == "postgresql":
            return {f"celeriac_{name}_{at}": [key[at] for key in keys] for at in range(len(columns))}
        return {f"celeriac_{name}": [key[0] for key in keys] if len(columns) == 1 else list(keys)}

    def most_rows(self, columns: int) -> int | None:
        """How many rows one statement can name by a key of so many columns; None: as many as one likes."""
        return _SQLITE_VALUES // (2 * columns) if self.dialect == "sqlite" else None

    def after(self, key: Sequence[str]) -> str:
        """Say that a row's key comes after another one: `celeriac_after_N`."""
        columns = [self.quoted(one) for one in key]
        if len(columns) == 1:
            return f"{columns[0]} > :celeriac_after_0"
        if self.dialect in ("postgresql", "sqlite"):
            values = ", ".join(f":celeriac_after_{at}" for at in range(len(columns)))
            return f"({', '.join(columns)}) > ({values})"
        # MySQL finds a place in an index by the first column only if that stands alone.
        ways: list[str] = []
        for at, column in enumerate(columns):
            equal = [f"{columns[n]} = :celeriac_after_{n}" for n in range(at)]
            ways.append(" AND ".join([*equal, f"{column} > :celeriac_after_{at}"]))
        return f"{columns[0]} >= :celeriac_after_0 AND ({' OR '.join(f'({way})' for way in ways)})"

    def after_parameters(self, key: Key) -> Parameters:
        """Return a key as parameters of `after`."""
        return {f"celeriac_after_{at}": value for at, value in enumerate(key)}

    def text(self, sql: str) -> TextClause:
        """Return a statement. Lists of keys become as many parameters as there are keys, where that has to be."""
        statement = text(sql)
        if self.dialect == "postgresql":
            return statement
        names = [name for name in ("celeriac_keys", "celeriac_parents") if f" IN :{name}" in sql]
        expanding: list[BindParameter[Any]] = [bindparam(name, expanding=True) for name in names]
        return statement.bindparams(*expanding)
