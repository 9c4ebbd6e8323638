"""What Celery promises, as tasks of a plain application: each as `async def` and as `def`, from one body.

Workers find the application as `tests.support.plain_twins`. It adds to that of `plain_app`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Literal, cast

from celery import Celery, current_task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import GroupResult
from kombu import Queue
from kombu.common import Broadcast

from celeriac import celery_settings
from tests.support import leaving, plain_app, wrapped_tasks
from tests.support.contract_jobs import Trace
from tests.support.lease import LEASE
from tests.support.odd_errors import ExitingAnswer, raise_odd
from tests.support.plain_app import OrderTask

Kind = Literal["async", "def"]
Body = Callable[..., Coroutine[Any, Any, Any]]

#: Set by one task, to be seen by no other.
footprint: ContextVar[str] = ContextVar("footprint", default="none")
#: Set where a process is set up, to be seen by all of its tasks.
of_the_process: ContextVar[str] = ContextVar("of_the_process", default="none")
LEAVING: dict[str, type[BaseException]] = {
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "cancelled": asyncio.CancelledError,
}


class WatchedTask(OrderTask):
    """Tells of each call of its, besides the hooks of the application's base class."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.trace.add(self.request.id, "call")
        return super().__call__(*args, **kwargs)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.trace.add(task_id, f"after {status}")


class PlacedTask(OrderTask):
    """Tells where each hook of its runs."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note_place(task_id, "before_start")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note_place(task_id, "on_success")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note_place(task_id, "on_failure")

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        note_place(task_id, "after_return")


class ConsequentTask(OrderTask):
    """Tells what it has failed with, and because of what."""

    abstract = True

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        chain = [exc]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        self.trace.add(task_id, " < ".join(type(error).__name__ for error in chain))


class AmbushTask(OrderTask):
    """A hook of it, or a handler around it, raises what is no `Exception`: the one that its argument names."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        _ambush("before_start", args)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        _ambush("on_success", args)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        _ambush("on_failure", args)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        _ambush("after_return", args)


def _ambush_of(signal_name: str) -> Callable[..., None]:
    def receive(sender: Any, **_: Any) -> None:
        if sender.name.endswith(".ambushed"):
            _ambush(signal_name, sender.request.args)

    return receive


def _ambush(hook: str, args: Any) -> None:
    if args[0] == hook:
        raise leaving.Abandoned(f"from {hook}")


class BlockingTask(OrderTask):
    """Keeps its thread for a while before each task."""

    abstract = True

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        time.sleep(0.3)


def note_place(task_id: str, what: str) -> None:
    """Leave in the trace in which thread `what` is called for a task, and whether an event loop runs there."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        where = "alone"
    else:
        where = "on a loop"
    Trace(os.environ["PLAIN_URL"]).add(f"place-{task_id}", f"{what}|{threading.get_ident()}|{where}")


async def pause(seconds: float) -> None:
    """Sleep: on the event loop where there is one, else in short steps, between which a thread can be interrupted."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)
    else:
        await asyncio.sleep(seconds)


class Twins:
    """Adds tasks to an application: `async.<name>` and `def.<name>`."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def task(self, name: str, **options: Any) -> Callable[[Body], Body]:
        def add(body: Body) -> Body:
            async def on_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
                return await body(self, *args, **kwargs)

            def blocking(self: Any, *args: Any, **kwargs: Any) -> Any:
                try:
                    body(self, *args, **kwargs).send(None)
                except StopIteration as end:
                    return end.value
                raise AssertionError("a body waits with `pause` alone")

            for kind, function in (("async", on_loop), ("def", blocking)):
                self._app.task(name=f"{kind}.{name}", bind=True, shared=False, **options)(function)
            return body

        return add


def create(url: str, **options: Any) -> Celery:
    """The application on Celeriac's settings."""
    config = celery_settings(url, lease=LEASE) | {"result_expires": 3600, "worker_send_task_events": True}
    config["task_queues"] = [Queue("celery"), Broadcast("news")]
    app = plain_app.create(SimpleNamespace(**config), **options)
    _add_results(Twins(app))
    _add_endings(Twins(app))
    _add_surroundings(Twins(app))
    wrapped_tasks.add_to(app)

    @app.task(name="orders.grumble", shared=False)
    def grumble(task_id: str, key: str) -> None:
        """An errback of the old style: it is told the id of the task that failed, and nothing else."""
        Trace(os.environ["PLAIN_URL"]).add(key, f"grumble {task_id}")

    return app


def _add_results(twins: Twins) -> None:
    @twins.task("echo")
    async def echo(self: Any, value: Any) -> Any:
        await pause(0)
        return value

    @twins.task("odd")
    async def odd(self: Any) -> Any:
        return object()

    @twins.task("forget", ignore_result=True)
    async def forget(self: Any, key: str) -> int:
        self.trace.add(key, "ran")
        return 42

    @twins.task("add")
    async def add(self: Any, a: int, b: int) -> int:
        return a + b

    @twins.task("total")
    async def total(self: Any, numbers: list[int]) -> int:
        return sum(numbers)

    @twins.task("note")
    async def note(self: Any, value: Any, key: str) -> str:
        self.trace.add(key, f"note {value}")
        return key

    @twins.task("hand_out")
    async def hand_out(self: Any, what: str) -> Any:
        pending = self.app.AsyncResult("a", parent=self.app.AsyncResult("b"))
        return {
            "result": pending,
            "group result": GroupResult("g", [pending]),
            "signature": self.s("x"),
            "chain": self.s("x") | self.s("y"),
        }[what]

    @twins.task("spell")
    async def spell(self: Any, value: Any, key: str) -> str:
        self.trace.add(key, ascii(value))
        return key

    @twins.task("scold")
    async def scold(self: Any, value: Any) -> None:
        raise ValueError(value)

    @twins.task("insist", max_retries=1)
    async def insist(self: Any, value: Any, countdown: float) -> Any:
        if not self.request.retries:
            raise self.retry(countdown=countdown)
        return value

    @twins.task("fail")
    async def fail(self: Any, message: str) -> None:
        raise ValueError(message)

    @twins.task("hold")
    async def hold(self: Any, gate: str) -> str:
        self.trace.add(self.request.id, "begin")
        while not self.trace.is_open(gate):
            await pause(0.02)
        self.trace.add(self.request.id, "end")
        return gate

    @twins.task("nap")
    async def nap(self: Any, seconds: float) -> float:
        await pause(seconds)
        return seconds

    @twins.task("early", acks_late=False)
    async def early(self: Any, gate: str) -> str:
        self.trace.add(self.request.id, "begin")
        while not self.trace.is_open(gate):
            await pause(0.02)
        return gate


def _add_endings(twins: Twins) -> None:
    @twins.task("break_oddly")
    async def break_oddly(self: Any, way: str) -> None:
        raise_odd(way)

    @twins.task("answer_oddly")
    async def answer_oddly(self: Any) -> Any:
        return ExitingAnswer(a=1)

    @twins.task("retry_oddly", max_retries=1)
    async def retry_oddly(self: Any, way: str) -> None:
        try:
            raise_odd(way)
        except Exception as error:
            raise self.retry(exc=error, countdown=60) from None

    @twins.task("flaky", max_retries=3, base=WatchedTask)
    async def flaky(self: Any, failures: int) -> int:
        if self.request.retries < failures:
            raise self.retry(exc=ConnectionError("not yet"), countdown=0.05)
        return int(self.request.retries)

    @twins.task("exhausted", max_retries=1)
    async def exhausted(self: Any, with_error: bool) -> None:
        raise self.retry(exc=ConnectionError("never") if with_error else None, countdown=0)

    @twins.task("patient")
    async def patient(self: Any) -> None:
        raise self.retry(exc=ConnectionError("not yet"), countdown=60)

    @twins.task(
        "wobbly", autoretry_for=(ConnectionError,), retry_kwargs={"max_retries": 2, "countdown": 0}, retry_backoff=False
    )
    async def wobbly(self: Any, failures: int, error: str) -> int:
        if self.request.retries < failures:
            raise {"connection": ConnectionError, "value": ValueError}[error]("not yet")
        return int(self.request.retries)

    @twins.task("replaced")
    async def replaced(self: Any, kind: str, number: int) -> None:
        tasks = self.app.tasks
        add, total = tasks[f"{kind}.add"], tasks[f"{kind}.total"]
        raise self.replace(add.s(number, 1) | add.s(10) if number else total.s([20, 3]))

    @twins.task("refuse")
    async def refuse(self: Any, gate: str, requeue: bool) -> str:
        self.trace.add(self.request.id, "begin")
        if self.trace.is_open(gate):
            return "accepted"
        if requeue:
            self.trace.open(gate)
        raise Reject("not today", requeue=requeue)

    @twins.task("ignored")
    async def ignored(self: Any) -> None:
        self.update_state(state="MINE", meta={"step": 1})
        raise Ignore

    @twins.task("progress")
    async def progress(self: Any, gate: str) -> str:
        self.update_state(state="PROGRESS", meta={"done": 3})
        while not self.trace.is_open(gate):
            await pause(0.02)
        return gate

    @twins.task("tell_early")
    async def tell_early(self: Any, gate: str) -> int:
        self.update_state(state="SUCCESS", meta=5)
        while not self.trace.is_open(gate):
            await pause(0.02)
        return 4

    @twins.task("soft", soft_time_limit=0.3)
    async def soft(self: Any, clean: bool) -> str:
        try:
            await pause(20)
        except SoftTimeLimitExceeded:
            if not clean:
                raise
            await pause(0.05)
        return "cleaned"

    @twins.task("hard", time_limit=0.3)
    async def hard(self: Any) -> None:
        await pause(2)

    @twins.task("overrun", time_limit=1.0, acks_on_timeout=False)
    async def overrun(self: Any, gate: str) -> str:
        self.trace.add(self.request.id, "begin")
        if not self.trace.is_open(gate):
            await pause(
                4
            )  # and does not look again: its end is told a moment before it is stopped, and a thread goes on
        return gate

    @twins.task("leave")
    async def leave(self: Any, how: str) -> None:
        raise LEAVING[how]("by the task itself")

    @twins.task("raising")
    async def raising(self: Any, name: str) -> None:
        raise leaving.LEAVING[name]()

    @twins.task("consequent", base=ConsequentTask)
    async def consequent(self: Any, kind: str) -> None:
        leaving.raise_with_cause(kind)

    @twins.task("ambushed", base=AmbushTask)
    async def ambushed(self: Any, where: str) -> None:
        if where.endswith("_failure"):
            raise ValueError("as asked for")

    @twins.task("cancel_itself")
    async def cancel_itself(self: Any, wait: bool) -> str:
        cast("asyncio.Task[None]", asyncio.current_task()).cancel()
        if wait:
            await pause(60)
        return "returned"


def _add_surroundings(twins: Twins) -> None:
    @twins.task("surroundings")
    async def surroundings(self: Any, seconds: float) -> list[Any]:
        seen = [footprint.get(), self.request.id, current_task.request.id, current_task.name]
        footprint.set(self.request.id)
        await pause(seconds)
        return [*seen, self.request.id, current_task.request.id, footprint.get()]

    @twins.task("speak")
    async def speak(self: Any, value: str) -> None:
        await pause(0.05)
        logging.getLogger("shop.orders").warning("said %s", value)

    @twins.task("inherited")
    async def inherited(self: Any) -> str:
        return of_the_process.get()

    @twins.task("request")
    async def request(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        request = self.request
        names = ("id", "args", "kwargs", "retries", "root_id", "parent_id", "headers", "stamps", "hostname", "group")
        seen = {name: getattr(request, name) for name in names}
        info = request.delivery_info
        return seen | {"queue": info["routing_key"], "redelivered": info["redelivered"], "priority": info["priority"]}

    @twins.task("placed", base=PlacedTask)
    async def placed(self: Any, fails: bool) -> None:
        note_place(self.request.id, "body")
        if fails:
            raise ValueError("as asked for")

    @twins.task("held_up", base=BlockingTask)
    async def held_up(self: Any) -> None:
        pass

    @twins.task("held_up_by_signal")
    async def held_up_by_signal(self: Any) -> None:
        pass

    @twins.task("watched", base=WatchedTask, max_retries=1)
    async def watched(self: Any, how: str) -> str:
        self.trace.add(self.request.id, "body")
        if how == "retry" and not self.request.retries:
            raise self.retry(exc=ConnectionError("again"), countdown=0.2)
        if how == "failure":
            raise ValueError(how)
        if how == "ignore":
            raise Ignore
        return how


def _tell(signal_name: str, *facts: str) -> Callable[..., None]:
    """A receiver that leaves the name of its signal, and some of what it is told, in the trace of a watched task."""

    def receive(sender: Any, **told: Any) -> None:
        # By its name as the sender, or as the request that the consumer has made.
        request = told.get("request")
        name = getattr(sender, "name", None) or getattr(request, "name", "")
        if str(name).endswith((".watched", ".hold")):
            task_id = told.get("task_id") or request.id
            shown = " ".join(f"{fact}={told[fact]!r}" for fact in facts)
            Trace(os.environ["PLAIN_URL"]).add(f"signals-{task_id}", f"{signal_name} {shown}".strip())

    return receive


def _place(signal_name: str) -> Callable[..., None]:
    """A receiver that tells where it runs."""

    def receive(sender: Any, **told: Any) -> None:
        if sender.name.endswith(".placed"):
            note_place(told.get("task_id") or sender.request.id, signal_name)

    return receive


def _listen() -> None:
    for signal, *facts in (
        (signals.task_received,),
        (signals.task_prerun, "args", "kwargs"),
        (signals.task_postrun, "args", "retval", "state"),
        (signals.task_retry, "reason"),
        (signals.task_failure, "exception", "args"),
        (signals.task_revoked, "terminated", "expired"),
    ):
        signal.connect(_tell(signal.name, *facts), weak=False)

    for placed in (signals.task_prerun, signals.task_success, signals.task_failure, signals.task_postrun):
        placed.connect(_place(placed.name), weak=False)

    for ambushing in (signals.task_prerun, signals.task_success, signals.task_failure, signals.task_postrun):
        ambushing.connect(_ambush_of(ambushing.name), weak=False)

    @signals.worker_process_init.connect(weak=False)
    def set_up(**_: Any) -> None:
        of_the_process.set("set up")

    @signals.task_prerun.connect(weak=False)
    def hold_up(sender: Any, **_: Any) -> None:
        if sender.name.endswith(".held_up_by_signal"):
            time.sleep(0.3)

    @signals.task_success.connect(weak=False)
    def succeeded(sender: Any, result: Any, **_: Any) -> None:
        if sender.name.endswith(".watched"):
            sender.trace.add(f"signals-{sender.request.id}", f"task_success result={result!r}")


if "TWINS_URL" in os.environ:
    _listen()
    app = create(os.environ["TWINS_URL"])
