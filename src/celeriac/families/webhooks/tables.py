"""The tables of webhooks. Times are milliseconds since the epoch, by the database's clock."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from celeriac.database.tables import metadata

#: SQLite numbers rows by itself only if their key is an INTEGER.
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

#: One endpoint. `owner` is '' for none. `secrets` are {"secret", "expires_at"}, the newest first. `failures` in a row
#: since `failing_since` have opened its circuit `trips` times, now until `open_until`.
endpoint_table = Table(
    "celeriac_webhooks_endpoint",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", JSON, nullable=False),
    Column("description", Text, nullable=False),
    Column("headers", JSON, nullable=False),
    Column("secrets", JSON, nullable=False),
    Column("rate", Float),
    Column("concurrency", Integer),
    Column("fifo", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("failing_since", BigInteger),
    Column("failures", Integer, nullable=False),
    Column("trips", Integer, nullable=False),
    Column("open_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "owner", "id"),
)

#: One event. `number` gives their order. Endpoints get `body`, byte for byte. `fingerprint` tells contents apart.
event_table = Table(
    "celeriac_webhooks_event",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(128), nullable=False),
    Column("owner", String(128), nullable=False),
    Column("type", String(128), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("id"),
    Index(None, "created_at"),
    sqlite_autoincrement=True,
)

#: One event on its way to one endpoint. Its job is `<id>.<cycle>`: each replay is a cycle with a job of its own.
#: `tries` counts those of this cycle, `attempts` all. `look_at` is when the sweep looks whether its job exists.
delivery_table = Table(
    "celeriac_webhooks_delivery",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("event_number", _NUMBER, ForeignKey("celeriac_webhooks_event.number", ondelete="CASCADE"), nullable=False),
    Column("endpoint_id", String(64), ForeignKey("celeriac_webhooks_endpoint.id", ondelete="CASCADE"), nullable=False),
    Column("state", String(10), nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("next_at", BigInteger),
    Column("look_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("event_number", "endpoint_id"),
    Index(None, "endpoint_id", "state", "event_number"),
    Index(None, "state", "look_at"),
)

#: One try of a delivery. `status` is None if there was no answer; `error` says why then.
attempt_table = Table(
    "celeriac_webhooks_attempt",
    metadata,
    Column(
        "delivery_id", String(64), ForeignKey("celeriac_webhooks_delivery.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("number", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("headers", JSON),
    Column("excerpt", Text),
)
