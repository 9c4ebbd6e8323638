"""A prepared change writes what SQLAlchemy itself would write, on each kind of database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, MetaData, String, Table, bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError

from celeriac.database.engine import Database
from celeriac.database.prepared import Prepared
from celeriac.families.sync.tables import state_table

#: JSON in a text, as the state of syncs has it.
_JSON = state_table.c.place.type
TABLE = Table(
    "work",
    MetaData(),
    Column("name", String(20), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("is_paused", Boolean),
    Column("place", _JSON),
)
_CHANGE = (
    update(TABLE)
    .where(TABLE.c.name == bindparam("of_name"))
    .values(number=bindparam("number"), is_paused=bindparam("is_paused"), place=bindparam("place"))
)
_VALUES: list[dict[str, Any]] = [
    {"number": 7, "is_paused": True, "place": {"token": "a'b%s?$1:x", "skip": 1}},
    {"number": -(2**63), "is_paused": False, "place": "7"},
    {"number": 2**63 - 1, "is_paused": None, "place": None},
    {"number": 0, "is_paused": None, "place": [2**70, "Zürich \N{PILE OF POO}", None, 0.1]},
]


async def test_it_writes_what_sqlalchemy_writes(other: Database) -> None:
    prepared = Prepared(_CHANGE)
    await other.write(TABLE.metadata.create_all)
    await other.write(lambda c: c.execute(insert(TABLE), [{"name": name, "number": 0} for name in "abc"]))
    for values in _VALUES:
        assert await other.write(lambda c, v=values: prepared.run(c, {"of_name": "a", **v})) == 1
        await other.write(lambda c, v=values: c.execute(_CHANGE, {"of_name": "b", **v}))
        rows = await other.read(lambda c: c.execute(select(TABLE).order_by(TABLE.c.name)).all())
        assert tuple(rows[0])[1:] == tuple(rows[1])[1:] == tuple(values.values())
        assert tuple(rows[2])[1:] == (0, None, None)


async def test_it_says_how_many_rows_it_has_found(other: Database) -> None:
    prepared = Prepared(_CHANGE)
    await other.write(TABLE.metadata.create_all)
    await other.write(lambda c: c.execute(insert(TABLE).values(name="a", **_VALUES[0])))
    assert await other.write(lambda c: prepared.run(c, {"of_name": "a", **_VALUES[0]})) == 1  # it has these already
    assert await other.write(lambda c: prepared.run(c, {"of_name": "z", **_VALUES[0]})) == 0


async def test_what_the_database_refuses_is_told_as_by_sqlalchemy(other: Database) -> None:
    prepared = Prepared(_CHANGE)
    await other.write(TABLE.metadata.create_all)
    await other.write(lambda c: c.execute(insert(TABLE).values(name="a", **_VALUES[0])))
    with pytest.raises(DBAPIError):
        await other.write(lambda c: prepared.run(c, {"of_name": "a", **_VALUES[0], "number": None}))
