"""The Celery task classes: every task of a Celeriac application, and the ones that are typed jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Task as CeleryTask
from celery.exceptions import Ignore, Reject

from celeriac.core.errors import BrokerUnavailable
from celeriac.core.spec import JobSpec
from celeriac.store import jobs as store

if TYPE_CHECKING:
    from celeriac.engine.app import JobApp

#: Seconds for which a worker that cannot ask whether a job may run holds it, before it gives the message back.
PERMIT_PATIENCE = 30.0


class Task(CeleryTask):  # pyright: ignore[reportMissingTypeArgument]
    """A Celery task whose runs are recorded as jobs, and which does not run once its job is cancelled."""

    abstract = True
    app: JobApp

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Ask the broker whether the job may run, and record that it does.

        Raises:
            Ignore: it was cancelled, has ended, or has moved on to a later attempt.
            Reject: the broker stayed absent; the message goes back to its queue.
        """
        request = self.request
        if request.called_directly or request.is_eager:
            return
        call = store.begin(
            task_id,
            task=str(self.name),
            queue=(request.delivery_info or {}).get("routing_key") or "",
            parent_id=request.parent_id,
            attempt=request.retries + 1,
            worker=request.hostname or "",
            retention_ms=self.app.retention_ms,
        )
        try:
            permit = self.app.records.run(call, patience=PERMIT_PATIENCE)
        except BrokerUnavailable as error:
            raise Reject(str(error), requeue=True) from error
        if permit.verdict == "cancelled":
            self.send_event("task-revoked", terminated=False, signum=None, expired=False)
        if permit.verdict != "run":
            raise Ignore
        request.celeriac_children = permit.children


class JobTask(Task):
    """The Celery side of a typed job."""

    abstract = True
    spec: JobSpec

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run one attempt."""
        return self.app.executor.execute(self, args, kwargs)
