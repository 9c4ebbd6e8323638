"""How far replicas are behind, asked at the database itself or at a replica."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from celeriac.families.cleanup.errors import NotMeasured

_MB = 1024 * 1024
# Programs that only keep the log apply nothing: they are no replicas.
_AT_PRIMARY = text(
    "SELECT COALESCE(NULLIF(application_name, ''), 'a replica') AS name, state, EXTRACT(EPOCH FROM replay_lag) AS lag, "
    "pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS behind FROM pg_stat_replication "
    "WHERE state IS NULL OR (state <> 'backup' AND replay_lsn IS NOT NULL)"
)
# A replica that has applied all that it has received is not behind, however long ago the last change was.
_AT_REPLICA = text(
    "SELECT pg_is_in_recovery() AS is_replica, EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AS is_connected, "
    "pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) AS behind, "
    "EXTRACT(EPOCH FROM now() - pg_last_xact_replay_timestamp()) AS lag"
)
#: The names of MySQL's and MariaDB's statement and column, the newer ones first.
_MYSQL = (("SHOW REPLICA STATUS", "Seconds_Behind_Source"), ("SHOW SLAVE STATUS", "Seconds_Behind_Master"))
_SYNTAX_ERROR = 1064


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a replica is behind."""

    replica: str
    seconds: float
    bytes: int = 0

    def above(self, seconds: float, megabytes: float) -> str | None:
        """Return why that is too far; None if it is not."""
        if self.seconds > seconds:
            return f"{self.replica} is {self.seconds:.1f} s behind, which is above {seconds:g}"
        if self.bytes > megabytes * _MB:
            return f"{self.replica} is {self.bytes / _MB:.0f} MB behind, which is above {megabytes:g}"
        return None


def lags_at_primary(connection: Connection) -> Sequence[Lag]:
    """Ask the database itself.

    Raises:
        NotMeasured: it is not Postgres, or its user may not see it.
    """
    if connection.dialect.name != "postgresql":
        raise NotMeasured("only Postgres knows its replicas: name their connections in `replicas`")
    lags: list[Lag] = []
    for found in connection.execute(_AT_PRIMARY):
        if found.state is None:
            raise NotMeasured(f"{found.name} is shown without its state: GRANT pg_monitor to the connection's user")
        lags.append(Lag(str(found.name), float(found.lag or 0), int(found.behind)))
    return lags


def lag_of_replica(connection: Connection, name: str) -> Lag:
    """Ask a replica.

    Raises:
        NotMeasured: it is none, or replication has stopped.
    """
    if connection.dialect.name == "postgresql":
        return _lag_of_postgres(connection, name)
    if connection.dialect.name in ("mysql", "mariadb"):
        return _lag_of_mysql(connection, name)
    raise NotMeasured(f"{name} is no replica: {connection.dialect.name} has none")


def _lag_of_postgres(connection: Connection, name: str) -> Lag:
    found = connection.execute(_AT_REPLICA).one()
    if not found.is_replica:
        raise NotMeasured(f"{name} is no replica: it accepts writes")
    if not found.is_connected:
        raise NotMeasured(f"the replica {name} is not connected to its primary")
    behind = int(found.behind or 0)
    return Lag(name, float(found.lag or 0) if behind else 0.0, behind)


def _lag_of_mysql(connection: Connection, name: str) -> Lag:
    for statement, column in _MYSQL:
        try:
            found = connection.exec_driver_sql(statement).mappings().first()
        except DBAPIError as error:
            if getattr(error.orig, "args", (None,))[0] != _SYNTAX_ERROR:
                raise
            continue  # the names of another version
        if found is None:
            raise NotMeasured(f"{name} is no replica")
        seconds = found.get(column, found.get("Seconds_Behind_Master"))
        if seconds is None:
            raise NotMeasured(f"replication of {name} has stopped")
        return Lag(name, float(seconds))
    raise NotMeasured(f"{name} does not say whether it is a replica")
