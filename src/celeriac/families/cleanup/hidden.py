"""Finds what MySQL hides from a user: tables on which he has no rights, and whose rows vanish with those of others."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from celeriac.families.cleanup.errors import TableRefused
from celeriac.families.cleanup.plans import Step

#: InnoDB's own list of foreign keys, for users with the right PROCESS. Type 1 is ON DELETE CASCADE.
_CASCADING = "SELECT for_name FROM information_schema.{table} WHERE ref_name = :name AND type & 1 ORDER BY for_name"
_NO_RIGHT = 1227
#: Who may do anything but read everywhere sees all foreign keys.
_SEES_ALL = text(
    "SELECT 1 FROM information_schema.user_privileges WHERE privilege_type IN ('INSERT', 'UPDATE', 'DELETE', "
    "'REFERENCES') AND replace(grantee, '''', '') = current_user() LIMIT 1"
)
_SCHEMA = text("SELECT database()")


def refuse_hidden(connection: Connection, root: Step) -> None:
    """
    Raises:
        TableRefused: rows of tables that the user does not see would vanish, without an archive and uncounted.
    """
    for step, found in _hidden(connection, root):
        for name in found or ():
            raise TableRefused(
                f"rows of {name} would vanish with those of {step.shape.shown} (ON DELETE CASCADE), and the "
                f"connection's user has no rights on it: grant SELECT and DELETE on {name}, and list it in `children`"
            )


def may_be_hidden(connection: Connection, root: Step) -> list[str]:
    """Return a warning for each table whose rows may take others with them that nobody can look for."""
    return [
        f"MySQL tells this user nothing of tables of others that refer to {step.shape.shown}: with ON DELETE CASCADE, "
        "their rows would vanish uncounted. GRANT PROCESS ON *.* to it, and such tables are looked for"
        for step, found in _hidden(connection, root)
        if found is None and connection.execute(_SEES_ALL).first() is None
    ]


def _hidden(connection: Connection, root: Step) -> Iterator[tuple[Step, list[str] | None]]:
    """Give the tables that refer to those of a run and are not seen; None: the user may not look."""
    if connection.dialect.name not in ("mysql", "mariadb"):
        return
    schema = str(connection.execute(_SCHEMA).scalar())
    listing = "innodb_sys_foreign" if getattr(connection.dialect, "is_mariadb", False) else "innodb_foreign"
    cascading = text(_CASCADING.format(table=listing))
    for step in root.walk():
        shape = step.shape
        seen = {_stored(one.schema or schema, one.table) for one in shape.references}
        try:
            found = connection.execute(cascading, {"name": _stored(shape.schema or schema, shape.name)}).scalars().all()
        except DBAPIError as error:
            if error.orig is None or error.orig.args[0] != _NO_RIGHT:
                raise
            yield step, None
        else:
            yield step, [str(name).replace("/", ".") for name in found if name not in seen]


def _stored(schema: str, table: str) -> str:
    """Return a table's name as InnoDB has it."""
    return "/".join("".join(map(_letter, name)) for name in (schema, table))


def _letter(letter: str) -> str:
    return letter if letter == "_" or (letter.isascii() and letter.isalnum()) else f"@{ord(letter):04x}"
