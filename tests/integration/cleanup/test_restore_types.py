"""A value of each type goes into an archive, and comes back as it was: nothing is deleted that no restore takes."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from celeriac.families.cleanup.archives_table import TableName
from celeriac.families.cleanup.errors import ArchiveRefused
from celeriac.families.cleanup.restore import restore
from tests.support.cleanup_shop import Shop, policy

#: Types, and values as SQL.
POSTGRES: dict[str, list[str]] = {
    '"char"': ["'x'", "''", r"'\377'", "'é'"],
    "bpchar": ["'a  '", "'x'", "''"],
    "bpchar[]": ["ARRAY['a  ', NULL]"],
    "character": ["'x'", "' '"],
    "character(5)": ["'a'", "'a   '", "''"],
    "character(3)[]": ["ARRAY['a']"],
    "varchar(3)": ["'abc'", "'a  '", "''"],
    "varchar(3)[]": ["ARRAY['abc']"],
    "varchar": ["'x'"],
    "name": ["'x'", "repeat('n', 63)"],
    "text": ["'x'", r"E'\\N'", r"E'\\'", "''", "'a\n\tb'", r"'\x00'"],
    "smallint": ["-32768"],
    "integer": ["-2147483648"],
    "bigint": ["9223372036854775807"],
    "numeric": ["'NaN'", "'Infinity'", "1.10", "1e100", "-0.000", "123456789012345678901234567890.123456789"],
    "numeric(10,2)": ["1.10", "'NaN'"],
    "numeric(3,-2)": ["12300"],
    "real": ["1.1", "'NaN'", "'-0'", "3.4e38", "1e-45"],
    "double precision": ["0.1", "'NaN'", "'-Infinity'", "'-0'", "5e-324"],
    "money": ["12.34", "-0.01"],
    "boolean": ["true", "false"],
    "bytea": [r"'\x00ff'", "''"],
    "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "date": ["'infinity'", "'0044-03-15 BC'", "'294000-01-01'"],
    "time": ["'24:00'", "'01:02:03.000004'"],
    "time(0)": ["'01:02:03'"],
    "timetz": ["'24:00+05'", "'01:02:03.4-15:59'"],
    "timestamp": ["'-infinity'", "'0044-03-15 01:02:03 BC'"],
    "timestamp(3)": ["'2020-01-01 01:02:03.456'"],
    "timestamptz": ["'infinity'", "'2026-01-01 00:00:00.123456+05:45'"],
    "timestamptz(0)": ["'2026-01-01 00:00:00+05:45'"],
    "interval": ["'1 month'", "'24 hours'", "'-1 year 2 mons -3 days 04:05:06.7'"],
    "interval year to month": ["'1-2'"],
    "interval day to second(2)": ["'1 02:03:04.56'"],
    "json": ["'null'", '\'{"b": 1.10, "b" \\:2}\''],
    "jsonb": ["'null'", "'1e400'", "'\"\\u20ac\"'", "'[1.10, {}]'"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "xml": ["'<a b=\"1\">x</a>'"],
    "inet": ["'10.0.0.1/8'", "'\\:\\:1'"],
    "cidr": ["'10.0.0.0/8'"],
    "macaddr": ["'08\\:00\\:2b\\:01\\:02\\:03'"],
    "macaddr8": ["'08\\:00\\:2b\\:01\\:02\\:03\\:04\\:05'"],
    "bit": ["B'1'"],
    "bit(3)": ["B'101'"],
    "bit(3)[]": ["ARRAY[B'101', NULL]"],
    "varbit": ["B'10101'", "B''"],
    "varbit(5)": ["B'101'"],
    "point": ["'(1.1,-0)'"],
    "line": ["'{1,2,3}'"],
    "lseg": ["'[(1,2),(3,4)]'"],
    "box": ["'(3,4),(1,2)'"],
    "path": ["'[(1,2),(3,4)]'", "'((1,2),(3,4))'"],
    "polygon": ["'((1,2),(3,4),(5,6))'"],
    "circle": ["'<(1,2),3>'"],
    "tsvector": ["'fat\\:2 cat\\:1A'"],
    "tsquery": ["'fat & (rat | !cat)'"],
    "int4range": ["'[1,5)'", "'empty'", "'(,)'"],
    "numrange": ["'[1.10,2.0]'"],
    "tstzrange": ["'[2020-01-01 00\\:00+00,infinity)'"],
    "daterange": ["'[2020-01-01,)'"],
    "int8multirange": ["'{[1,3),[5,9)}'", "'{}'"],
    "datemultirange": ["'{[2020-01-01,2020-02-01)}'"],
    "oid": ["4294967295"],
    "xid": ["'5'"],
    "xid8": ["'18446744073709551615'"],
    "cid": ["'7'"],
    "tid": ["'(1,2)'"],
    "pg_lsn": ["'16/B374D848'"],
    "pg_snapshot": ["'10\\:20\\:10,14,15'"],
    "regclass": ["'pg_class'"],
    "regtype": ["'integer'"],
    "regproc": ["'now'"],
    "regrole": ["current_user\\:\\:regrole"],
    "refcursor": ["'x'"],
    "oidvector": ["'1 2 3'"],
    "int2vector": ["'1 2 3'"],
    "aclitem": ["makeaclitem(10, 10, 'SELECT', false)"],
    "integer[]": ["'[0\\:1]={1,NULL}'", "'{{1,2},{3,4}}'", "'{}'"],
    "text[]": ['\'{"a,b",NULL,"NULL",""}\''],
    "bytea[]": [r"ARRAY['\x00ff']" + "\\:\\:bytea[]"],
    "numeric(6,2)[]": ["'{1.10,NaN}'"],
    '"char"[]': ["ARRAY['x']"],
    "jsonb[]": ["ARRAY['{\"a\": 1}']\\:\\:jsonb[]"],
    '"My Mood"': ["'sad'"],
    '"My Mood"[]': ["'{sad,\"very sad\"}'"],
    "short": ["'abc'"],
    "one_char": ["'x'"],
    "money_of": ["1.10", "'NaN'"],
    "pair": ["ROW(1, 'a\"b,c')", "ROW(NULL, '')"],
    "pair[]": ["ARRAY[ROW(1, 'x')\\:\\:pair]"],
    "short[]": ["'{abc}'"],
    "own_range": ["'[a,b]'"],
}
POSTGRES_TYPES = [
    "CREATE TYPE \"My Mood\" AS ENUM ('sad', 'very sad')",
    "CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'bad')",
    'CREATE DOMAIN one_char AS "char"',
    "CREATE DOMAIN money_of AS numeric(10, 2)",
    "CREATE TYPE pair AS (a integer, b varchar(10))",
    "CREATE TYPE own_range AS RANGE (subtype = text)",
]
MYSQL: dict[str, list[str]] = {
    "TINYINT": ["-128"],
    "BOOLEAN": ["true"],
    "SMALLINT UNSIGNED": ["65535"],
    "MEDIUMINT": ["-8388608"],
    "INT(5) UNSIGNED ZEROFILL": ["42"],
    "BIGINT UNSIGNED": ["18446744073709551615"],
    "DECIMAL(65,30)": ["12345678901234567890.123456789012345678901234567890", "-0.1"],
    "DECIMAL(10,0)": ["1"],
    "FLOAT": ["1.1", "3.4e38", "16777217", "0.3333333333"],
    "FLOAT(7,3)": ["1.234"],
    "DOUBLE": ["0.1", "-0e0", "2.2250738585072014e-308", "1.7976931348623157e308", "1e0/3"],
    "BIT(1)": ["b'1'"],
    "BIT(20)": ["b'10101010101010101010'"],
    "BIT(64)": ["b'1'", "~0"],
    "CHAR(5)": ["'a'", "'a  '", "''"],
    "VARCHAR(20)": ["'x  '", "'ü€😀'", "''", "'\\\\N'"],
    "VARCHAR(20) CHARACTER SET latin1": ["'ü'"],
    "VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin": ["'x'"],
    "TEXT": ["'x\\n'"],
    "LONGTEXT": ["'x'"],
    "BINARY(3)": ["x'00ff'"],
    "VARBINARY(5)": ["x'00ff'", "''"],
    "BLOB": ["x'00ff80'", "''"],
    "LONGBLOB": ["x'ff'"],
    "DATE": ["'9999-12-31'", "'1000-01-01'", "'0000-00-00'", "'2020-00-00'"],
    "TIME": ["'838\\:59\\:59'", "'-01\\:02\\:03'"],
    "TIME(6)": ["'-01\\:02\\:03.000004'"],
    "DATETIME": ["'2020-01-01 01\\:02\\:03'", "'0000-00-00 00\\:00\\:00'"],
    "DATETIME(6)": ["'2020-01-01 01\\:02\\:03.000004'"],
    "TIMESTAMP NULL": ["'2020-01-01 01\\:02\\:03'"],
    "YEAR": ["2020", "0"],
    "ENUM('a','b c')": ["'b c'"],
    "SET('a','b','c')": ["'a,c'", "''"],
    "JSON": ["'{\"a\": 1.10}'", "'null'"],
    "GEOMETRY": ["ST_GeomFromText('POINT(1 2)', 4326)"],
    "POINT": ["POINT(1, 2)"],
    "UUID": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "INET6": ["'\\:\\:1'"],
    "INET4": ["'10.0.0.1'"],
}
SQLITE: dict[str, list[str]] = {
    "": ["1", "1.5", "'1'", "x'00ff'", "''", "x''"],
    "INTEGER": ["9223372036854775807", "1.5", "'x'", "x'01'"],
    "REAL": ["1", "1.5", "'x'", "9e999", "-9e999", "-0.0", "0.1"],
    "NUMERIC": ["1", "1.5", "'x'", "9007199254740993", "'1e5'"],
    "TEXT": ["1", "'0123'", "x'01'", "'a'||char(0)||'b'", "'\\N'", "'\\'"],
    "BLOB": ["1", "'1'", "x'00'", "1.0"],
    "DATETIME": ["'2020-01-01 01\\:02\\:03'", "1577836800", "1577836800.5"],
    "DATE": ["'2020-01-01'", "'no date'"],
    "BOOLEAN": ["true", "'x'"],
    "DECIMAL(10,2)": ["1.10", "'1.10'", "123456789012345678"],
    "VARCHAR(3)": ["'longer than three'"],
    "JSON": ["'{\"a\": 1}'", "5"],
    "TIME": ["'01\\:02'"],
    "ANY": ["1", "'1'"],
    "STRING": ["'0123'", "5"],
    "CHARINT": ["'1'"],
}
VALUES = {"postgresql": POSTGRES, "mysql": MYSQL, "sqlite": SQLITE}


def exactly(dialect: str, kind: str, column: str) -> list[str]:
    """What tells values apart that look alike."""
    if dialect == "postgresql":
        return [f"CAST(ROW({column}) AS text)"]
    if dialect == "sqlite":
        return [f"typeof({column})", f"hex({column})", f"quote({column})"]
    if kind in ("GEOMETRY", "POINT"):
        return [f"HEX({column})"]
    return [f"HEX({column})", f"{column} + 0e0" if kind.startswith(("FLOAT", "DOUBLE")) else f"CAST({column} AS CHAR)"]


@pytest.mark.filterwarnings("ignore:Did not recognize type")
@pytest.mark.parametrize("archive", ["csv.gz", "parquet"])
async def test_values_of_each_type_come_back(shop: Shop, archive: str) -> None:
    dialect = shop.database.dialect
    kinds = VALUES[dialect]
    columns = {f"c{n}": kind for n, kind in enumerate(kinds)}
    await shop.create(*(POSTGRES_TYPES if dialect == "postgresql" else ()))
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    await shop.execute(f"CREATE TABLE orders (id INTEGER PRIMARY KEY, {listed})")
    for row, values in enumerate(zip_longest(*kinds.values(), ["NULL"] * 8, fillvalue="NULL")):
        await shop.execute(f"INSERT INTO orders VALUES ({row}, {', '.join(values[:-1])})")

    async def read() -> dict[str, list[Any]]:
        found = {}
        for name, kind in columns.items():
            query = f"SELECT {', '.join(exactly(dialect, kind, name))} FROM orders ORDER BY id"
            found[f"{name} {kind}"] = await shop.query(query)
        return found

    before = await read()
    result = await shop.run(policy(where={"sql": "1 = 1"}, action="archive", archive=archive))
    assert await shop.ids() == []
    await restore(shop.database, [Path(file.path) for file in result.files], TableName(None, "orders"))
    after = await read()
    assert {kind: (values, after[kind]) for kind, values in before.items() if after[kind] != values} == {}


async def test_the_column_that_would_be_changed_is_named_and_not_one_with_nan_before_it(shop: Shop) -> None:
    if shop.database.dialect != "postgresql":
        pytest.skip("others have no NaN")
    await shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, n numeric, v numeric)")
    await shop.execute("INSERT INTO orders VALUES (1, 'NaN', 1.5)")
    result = await shop.run(policy(where={"sql": "1 = 1"}, action="archive"))
    await shop.execute("ALTER TABLE orders ALTER COLUMN v TYPE numeric(3, 0)")
    with pytest.raises(ArchiveRefused, match=r"the column 'v' of orders would change .* its type is numeric\(3,0\)"):
        await restore(shop.database, [Path(file.path) for file in result.files], TableName(None, "orders"))
