"""Names of columns for the fields of records. Sources choose fields, so no name is trusted.

A name has no control characters, fits into 63 bytes, and differs from all others of its table in more than its case,
which some databases do not see. Where that changes it, it ends with a digest of the field: so a field always gets the
same name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256

from celeriac.core.text import FAULT, is_unicode

#: Postgres allows this many bytes, MySQL one more character.
_LONGEST = 63
_DIGEST = 8
#: SQLAlchemy does not read these back from MySQL as they are.
_MISREAD = "`"
#: MySQL takes no characters beyond this one in a name, such as emoji.
_LAST = "\uffff"
#: More columns than that come of objects whose keys are data. Postgres allows 1,600, MySQL about 1,000.
MOST_COLUMNS = 500
#: What a soft delete sets.
DELETED_AT = "celeriac_deleted_at"
#: Names that each table has already, by the database's kind, or that its engine keeps for itself.
TAKEN: Mapping[str, Collection[str]] = {
    "postgresql": ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"),
    **dict.fromkeys(("mysql", "mariadb"), ("FTS_DOC_ID", "DB_ROW_ID", "DB_TRX_ID", "DB_ROLL_PTR")),
}


def column_name(field: str, taken: Collection[str] = ()) -> str:
    """Return the name of the column for `field`. `taken` has the names of the table's others."""
    others = {name.casefold() for name in (*taken, DELETED_AT)}
    plain = "".join(c if c.isprintable() and c not in _MISREAD and c <= _LAST else "_" for c in field).strip()
    if plain and plain.casefold() not in others and len(plain.encode()) <= _LONGEST:
        return plain
    digest = sha256(field.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{_cut(plain, _LONGEST - _DIGEST - 1)}_{digest}"


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def fault_of_field(field: str, dialect: str) -> str | None:
    """Return why no column can be noted for a field; None: one can."""
    if not is_unicode(field):
        return f"the name of its field {field[:100]!r} {FAULT}"
    if "\0" in field and dialect == "postgresql":
        return f"the name of its field {field[:100]!r} has a NUL"
    return None
