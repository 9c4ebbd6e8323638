"""Tells errors that a trigger raises from those of the database itself."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

#: MySQL's number for SIGNAL.
_SIGNAL = 1644
#: Classes of Postgres for what may pass, or is broken: a trigger may say these, too.
_PASSING = ("08", "40", "53", "55", "57", "58", "XX")


def is_of_trigger(error: DBAPIError) -> bool:
    """Return whether a trigger has raised it on purpose, whatever SQLSTATE it has given."""
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_TRIGGER
    arguments: tuple[object, ...] = getattr(cause, "args", ())
    if arguments and arguments[0] == _SIGNAL:
        return True
    state = str(getattr(cause, "sqlstate", None) or "")
    where = str(getattr(getattr(cause, "__cause__", None), "context", None) or "").partition("\n")[0]
    return state.startswith("P0") or (where.endswith(" at RAISE") and not state.startswith(_PASSING))
