"""The words of statements, for each dialect."""

from __future__ import annotations

from sqlalchemy.dialects import mysql, postgresql, sqlite

from celeriac.families.cleanup.wording import Wording


def test_a_chunk_has_no_more_keys_than_a_statement_of_sqlite_may_have() -> None:
    wording = Wording(sqlite.dialect())
    assert [wording.most_rows(columns) for columns in (1, 2, 4)] == [16_383, 8_191, 4_095]


def test_other_databases_name_as_many_as_one_likes() -> None:
    assert Wording(postgresql.dialect()).most_rows(4) is None
    assert Wording(mysql.dialect()).most_rows(4) is None
