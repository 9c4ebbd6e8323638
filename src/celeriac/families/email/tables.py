"""The tables of the mailing ledger."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from celeriac.database.tables import metadata

#: One mailing. `id` is the id of its job. `ready` becomes true when all recipients are stored: until then no reader
#: sees the mailing. `stopped` says why it stopped before its end. `recipients` is how many were stored with it, and
#: `left_out` how many rows were not, as their address was in an earlier row.
#: `baseline` has the outcomes at the time when it went on after a stop: rates of failures count from there.
#: Nothing is sent from `sends_until` on: the time of `not_after`, or earlier if nothing has happened for long.
#: Times are milliseconds since the epoch.
mailing_table = Table(
    "celeriac_email_mailing",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("sender", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("html", Text),
    Column("text", Text),
    Column("list_unsubscribe", Text),
    Column("list_name", String(100)),
    Column("stopped", Text),
    Column("attachments", JSON),
    Column("stop_at", JSON),
    Column("baseline", JSON),
    Column("state", String(10), nullable=False, server_default="sending"),
    Column("recipients", Integer, nullable=False, server_default="0"),
    Column("left_out", Integer, nullable=False, server_default="0"),
    Column("send_at", BigInteger),
    Column("not_after", BigInteger),
    Column("sends_until", BigInteger),
    Column("fingerprint", String(64)),
    Column("ready", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

#: One recipient of a mailing and its outcome. `position` is the row number in the uploaded file or list. `claim`
#: names the sender that holds the recipient until `claim_expires_at`. `kind` is what the last refusal meant
#: (`replies.Verdict`), and `next_at` the time before which the recipient is not tried again.
recipient_table = Table(
    "celeriac_email_recipient",
    metadata,
    Column("mailing_id", String(128), ForeignKey(mailing_table.c.id, ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("address", Text, nullable=False),
    Column("variables", JSON, nullable=False),
    Column("status", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("code", Integer),
    Column("error", Text),
    Column("cause", String(12)),
    Column("message_id", Text),
    Column("kind", String(16)),
    Column("next_at", BigInteger),
    Column("claim", String(32)),
    Column("claim_expires_at", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("status IN ('pending', 'sending', 'sent', 'failed')", name="status"),
    Index(None, "mailing_id", "status"),
)
