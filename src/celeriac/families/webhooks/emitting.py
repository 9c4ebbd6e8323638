"""Accepts events: stores them with their deliveries, and hands the deliveries' jobs to the broker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from celeriac.client.job import Job
from celeriac.core import codec
from celeriac.core.errors import BrokerUnavailable
from celeriac.core.ids import new_id
from celeriac.database.engine import Database
from celeriac.families.webhooks.event_store import NewEvent, Stored, new_event, store_events
from celeriac.families.webhooks.gathering import Gathering
from celeriac.families.webhooks.loaded import next_in_line
from celeriac.families.webhooks.model import job_id_of
from celeriac.families.webhooks.patterns import check_type
from celeriac.families.webhooks.refusals import EventInvalid

log = logging.getLogger("celeriac")

_BATCH = 100
_LONGEST_ID, _LONGEST_OWNER = 128, 128
_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def checked(event_type: str, payload: Any, *, event_id: str | None, owner: str | None, most_bytes: int) -> NewEvent:
    """Make an event of what a caller gave.

    Raises:
        EventInvalid: names the field, and what to change.
    """
    try:
        check_type(event_type)
    except ValueError as error:
        raise EventInvalid("type", str(error)) from None
    if event_id is not None and not (0 < len(event_id) <= _LONGEST_ID and _ID.issuperset(event_id)):
        raise EventInvalid("id", f"use 1 to {_LONGEST_ID} letters, digits, _ or -")
    if owner is not None and not (0 < len(owner) <= _LONGEST_OWNER and owner.isprintable()):
        raise EventInvalid("owner", f"use 1 to {_LONGEST_OWNER} printable characters, or leave it out")
    try:
        data = codec.dumps(payload)
    except (TypeError, ValueError) as error:
        raise EventInvalid("payload", f"is not JSON: {error}") from None
    if len(data) > most_bytes:
        raise EventInvalid(
            "payload", f"has {len(data):,} bytes; the most is {most_bytes:,} (CELERIAC_WEBHOOK_MAX_EVENT_BYTES)"
        )
    return new_event(event_type, event_id or new_id(), owner or "", data)


class Emitter:
    """Stores events, those of a moment in one transaction, and enqueues their deliveries' jobs.

    The events are stored first. A job has an id that follows from its delivery, so enqueueing again does no harm: what
    a crash kept from being enqueued, the sweep enqueues.
    """

    def __init__(self, database: Callable[[], Database], job: Callable[[], Job[[str], Any]]) -> None:
        self._database = database
        self._job = job
        self._events: Gathering[NewEvent, Stored] = Gathering(self._store, most=_BATCH, name="webhooks-events")

    async def emit(self, event: NewEvent) -> Stored:
        """Store an event, and hand its deliveries to the broker.

        Raises:
            IdempotencyConflict: another event has its id.
            DatabaseUnavailable: nothing was accepted.
        """
        stored = await self._events.ask(event)
        if stored.conflict is not None:
            raise stored.conflict
        return stored

    async def enqueue(self, delivery_ids: Iterable[tuple[str, str]]) -> bool:
        """Enqueue jobs of deliveries, given with the jobs' ids. False: the broker is absent, and the sweep does it."""
        pairs = list(delivery_ids)
        try:
            job = self._job()
            await job.enqueue_many([job.call(one) for one, _ in pairs], job_ids=[job_id for _, job_id in pairs])
        except BrokerUnavailable as error:
            log.warning("%d deliveries of webhooks are stored, and wait for the broker: %s", len(pairs), error)
            return False
        return True

    async def advance(self, endpoint_ids: Sequence[str]) -> None:
        """Enqueue the next delivery of each endpoint that gets one event at a time."""
        if endpoint_ids:
            await self.enqueue(
                await self._database().read(lambda c: next_in_line(c, list(dict.fromkeys(endpoint_ids))))
            )

    async def send_off(self, stored: Sequence[Stored]) -> None:
        """Enqueue the deliveries of events that were stored just now."""
        await self.enqueue((one, job_id_of(one, 1)) for event in stored for one in event.deliveries)
        await self.advance([one for event in stored for one in event.queues])

    async def _store(self, events: Sequence[NewEvent]) -> Sequence[Stored]:
        stored = await self._database().write(lambda connection: store_events(connection, events))
        await self.send_off(stored)
        return stored
