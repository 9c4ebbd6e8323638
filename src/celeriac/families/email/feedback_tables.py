"""The tables of what comes back: bounces and complaints, and the addresses that get no more mail."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from celeriac.database.tables import metadata

#: An address (in the form of `address.identity`) that gets no mail: of one list, or of none (`list_name` is empty).
suppression_table = Table(
    "celeriac_email_suppression",
    metadata,
    Column("address", String(320), primary_key=True),
    Column("list_name", String(100), primary_key=True),
    Column("reason", String(16), nullable=False),
    Column("source", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

#: A bounce or complaint. `key` is the same each time that it is told. `mailing_id` and `position` are of the recipient
#: whose mail it was, if that is known. They refer to no row, for a mailing may be deleted earlier.
feedback_table = Table(
    "celeriac_email_feedback",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("address", String(320), nullable=False),
    Column("mailing_id", String(128)),
    Column("position", Integer),
    Column("status", String(16)),
    Column("diagnostic", Text),
    Column("source", String(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "mailing_id", "kind"),
)
