"""Stores endpoints: what is asked of them, changed, and forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.engine import RowMapping

from celeriac.core.ids import new_id
from celeriac.database.clock import now_ms
from celeriac.database.engine import Database
from celeriac.families.webhooks.model import DeliveryState, Endpoint, Secret
from celeriac.families.webhooks.refusals import UnknownEndpoint
from celeriac.families.webhooks.tables import delivery_table, endpoint_table

_e = endpoint_table.c
_HEALTHY = {"failing_since": None, "failures": 0, "trips": 0, "open_until": None}


class Endpoints:
    """The endpoints in one database. Every method may raise `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, values: Mapping[str, Any], secret: str) -> Endpoint:
        """Store a new endpoint with the columns of `values`, and its first secret."""
        row: dict[str, Any] = {**values, "id": new_id(), "enabled": True, **_HEALTHY}
        row["secrets"] = [asdict(Secret(secret))]

        def store(connection: Connection) -> Endpoint:
            connection.execute(insert(endpoint_table).values(**row, created_at=now_ms(), updated_at=now_ms()))
            return _one(connection, row["id"])

        return await self._database.write(store)

    async def get(self, endpoint_id: str) -> Endpoint:
        """Return an endpoint.

        Raises:
            UnknownEndpoint: there is none with that id.
        """
        return await self._database.read(lambda connection: _one(connection, endpoint_id))

    async def page(self, *, owner: str | None, after: str | None, limit: int) -> tuple[list[Endpoint], str | None]:
        """Return endpoints by id, and where the next page begins, if there is one."""
        query = select(endpoint_table).order_by(_e.id).limit(limit + 1)
        if owner is not None:
            query = query.where(_e.owner == owner)
        if after is not None:
            query = query.where(_e.id > after)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        found = [endpoint_of(row) for row in rows[:limit]]
        return found, found[-1].id if len(rows) > limit else None

    async def change(self, endpoint_id: str, values: Mapping[str, Any]) -> Endpoint:
        """Change columns of an endpoint. A new URL closes its circuit, since its failures were those of the old one.

        Raises:
            UnknownEndpoint: there is none with that id.
        """

        def store(connection: Connection) -> Endpoint:
            before = _one(connection, endpoint_id)
            changed = dict(values)
            if changed.get("url", before.url) != before.url:
                changed |= _HEALTHY
            _set(connection, endpoint_id, changed)
            return _one(connection, endpoint_id)

        return await self._database.write(store)

    async def rotate(self, endpoint_id: str, secret: str, *, overlap_ms: int) -> Endpoint:
        """Make `secret` the current one. The one before signs, too, for as long as `overlap_ms`.

        Raises:
            UnknownEndpoint: there is none with that id.
        """

        def store(connection: Connection) -> Endpoint:
            endpoint, now = _one(connection, endpoint_id), _now(connection)
            ends = now + overlap_ms
            former = [
                Secret(one.secret, ends if one.expires_at is None else min(one.expires_at, ends))
                for one in endpoint.secrets
            ]
            kept = [asdict(one) for one in former if (one.expires_at or 0) > now]
            _set(connection, endpoint_id, {"secrets": [asdict(Secret(secret)), *kept]})
            return _one(connection, endpoint_id)

        return await self._database.write(store)

    async def enable(self, endpoint_id: str) -> Endpoint:
        """Enable an endpoint. Its circuit is closed, and its failures are forgotten. What was held stays so.

        Raises:
            UnknownEndpoint: there is none with that id.
        """
        return await self.change(endpoint_id, {"enabled": True, "disabled_reason": None, **_HEALTHY})

    async def disable(self, endpoint_id: str, reason: str) -> Endpoint:
        """Disable an endpoint, and hold its open deliveries.

        Raises:
            UnknownEndpoint: there is none with that id.
        """

        def store(connection: Connection) -> Endpoint:
            _one(connection, endpoint_id)
            disable(connection, endpoint_id, reason)
            return _one(connection, endpoint_id)

        return await self._database.write(store)

    async def delete(self, endpoint_id: str) -> None:
        """Forget an endpoint with all of its deliveries.

        Raises:
            UnknownEndpoint: there is none with that id.
        """
        statement = delete(endpoint_table).where(_e.id == endpoint_id)
        if not (await self._database.write(lambda connection: connection.execute(statement))).rowcount:
            raise UnknownEndpoint(endpoint_id)


def disable(connection: Connection, endpoint_id: str, reason: str) -> None:
    """Disable an endpoint, and hold its open deliveries, in the current transaction."""
    _set(connection, endpoint_id, {"enabled": False, "disabled_reason": reason})
    is_open = delivery_table.c.state == DeliveryState.PENDING
    held = update(delivery_table).where(delivery_table.c.endpoint_id == endpoint_id, is_open)
    connection.execute(held.values(state=DeliveryState.HELD, next_at=None, updated_at=now_ms()))


def endpoint_of(row: RowMapping) -> Endpoint:
    """Make an endpoint of a row of its table."""
    secrets: Sequence[Mapping[str, Any]] = row["secrets"]
    values: dict[str, Any] = {**row, "secrets": [Secret(**one) for one in secrets]}
    return Endpoint(**values)


def _one(connection: Connection, endpoint_id: str) -> Endpoint:
    row = connection.execute(select(endpoint_table).where(_e.id == endpoint_id)).mappings().one_or_none()
    if row is None:
        raise UnknownEndpoint(endpoint_id)
    return endpoint_of(row)


def _set(connection: Connection, endpoint_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(endpoint_table).where(_e.id == endpoint_id).values(**values, updated_at=now_ms()))


def _now(connection: Connection) -> int:
    return connection.execute(select(now_ms())).scalar_one()
