"""The jobs of webhooks: one for each delivery, the sweep, and replays."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from celeriac.client.job import Job
from celeriac.core.context import JobContext
from celeriac.core.retry import Retry
from celeriac.database.engine import Database
from celeriac.engine.app import JobApp
from celeriac.families.webhooks.deliveries import Choice, Deliveries
from celeriac.families.webhooks.delivering import Delivering
from celeriac.families.webhooks.emitting import Emitter
from celeriac.families.webhooks.model import DeliveryState
from celeriac.families.webhooks.refusals import DeliveryFailed
from celeriac.families.webhooks.runtime import Runtime, Runtimes
from celeriac.families.webhooks.settings import WebhookSettings
from celeriac.families.webhooks.slots import ClusterSlots
from celeriac.families.webhooks.sweep import delete_old, heal

log = logging.getLogger("celeriac")

SWEEP = "celeriac.webhooks.sweep"
_SWEEP_EVERY_S = 60.0
_REPLAYED_AT_ONCE = 250
#: The schedule is the family's own: it counts tries in the database. A run that only waits for its endpoint is none.
#: What else goes wrong, such as a database that is away, is tried again for as long as it takes.
_RETRY = Retry(attempts=1_000_000, backoff=1.0, max_delay=60.0, never=(DeliveryFailed,))


@dataclass(frozen=True, slots=True)
class WebhookJobs:
    """The jobs, and what they share with the API and the commands."""

    deliver: Job[[str], str]
    replay: Job[..., int]
    emitter: Emitter
    database: Callable[[], Database]

    @property
    def deliveries(self) -> Deliveries:
        """Shows and steers deliveries."""
        return Deliveries(self.database())


def register(app: JobApp, database: Callable[[], Database], settings: WebhookSettings) -> WebhookJobs:
    """Add the jobs to `app`. They open the database when they first need it."""

    def job_of_deliveries() -> Job[[str], str]:
        return deliver

    emitter = Emitter(database, job_of_deliveries)
    slots = ClusterSlots(app)
    runtimes = Runtimes(lambda: Runtime(database(), settings, slots, lambda: app.job_slots, emitter.send_off))
    delivering = Delivering(runtimes, database, emitter, settings)

    @app.job(name="celeriac.webhooks.deliver", retry=_RETRY, exposed=False, on_cancelled=delivering.abort)
    async def deliver(job: JobContext, delivery_id: str) -> str:
        """Try one delivery. The job waits for its next try, until the last one."""
        return await delivering.run(job, delivery_id)

    @app.job(name=SWEEP, exposed=False)
    async def sweep() -> dict[str, int]:
        """Enqueue deliveries that have no job, and delete events whose time is over."""
        healed = await heal(database(), app.client, emitter)
        deleted = await delete_old(database(), settings.webhook_retention)
        if healed or deleted:
            log.info("enqueued %d deliveries that had no job, deleted %d events", healed, deleted)
        return {"healed": healed, "deleted": deleted}

    app.schedule(SWEEP, sweep.call(), every=_SWEEP_EVERY_S)
    return WebhookJobs(deliver, _register_replay(app, database, emitter), emitter, database)


def _register_replay(app: JobApp, database: Callable[[], Database], emitter: Emitter) -> Job[..., int]:
    @app.job(name="celeriac.webhooks.replay", retry=Retry(attempts=10), exposed=False)
    async def replay(
        job: JobContext,
        changed_before: int,
        states: list[DeliveryState],
        endpoint: str | None = None,
        event: str | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> int:
        """Send deliveries again that have not changed since `changed_before`. A second run goes on with the rest."""
        choice = Choice(
            endpoint=endpoint, event=event, states=states, since=since, until=until, changed_before=changed_before
        )
        deliveries = Deliveries(database())
        total, done = await deliveries.count(choice), 0
        while some := await deliveries.replay(choice, limit=_REPLAYED_AT_ONCE):
            await send_again(emitter, deliveries, some)
            done += len(some)
            job.progress(done, max(total, done), f"{done} deliveries are sent again")
        return done

    return replay


async def send_again(emitter: Emitter, deliveries: Deliveries, replayed: list[tuple[str, str, str]]) -> None:
    """Enqueue the jobs of deliveries that were opened anew."""
    one_at_a_time = await deliveries.with_order({endpoint for _, _, endpoint in replayed})
    await emitter.enqueue((one, job_id) for one, job_id, endpoint in replayed if endpoint not in one_at_a_time)
    await emitter.advance(sorted(one_at_a_time))
