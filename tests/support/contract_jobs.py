"""The jobs of the contract suite. Each leaves a trace of what really ran, apart from what is recorded."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import tempfile
import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit
from uuid import UUID

from celery import group
from celery.exceptions import Ignore
from celery.exceptions import Retry as CeleryRetry
from pydantic import BaseModel, ConfigDict, Field, Strict

from celeriac import Celeriac, Children, Job, JobContext, Retry, RetryAfter, Settings, builtin
from tests.support import leaving, wrapped_tasks
from tests.support.odd_errors import raise_odd

QUICK = Retry(attempts=3, backoff=0.05, jitter=False)


class Line(BaseModel):
    article: str
    count: Annotated[int, Field(ge=1)] = 1


class Invoice(BaseModel):
    lines: list[Line]
    due: datetime
    paid: bool = False


class Payment(BaseModel):
    """A strict model: in Python, its fields take no text."""

    model_config = ConfigDict(strict=True)

    at: datetime
    id: UUID
    amount: Decimal
    way: tuple[int, ...] = ()


class OrderRejected(Exception):
    """What the jobs that fail fail with."""


class Trace:
    """What ran under an id, and gates that hold jobs until a test opens them: files that all who use a broker share.

    Not on the broker itself, which tests kill and freeze.
    """

    def __init__(self, url: str) -> None:
        self._directory = trace_directory(url) / urlsplit(url).path.strip("/")
        self._directory.mkdir(parents=True, exist_ok=True)

    def add(self, job_id: str, word: str) -> None:
        with (self._directory / f"trace-{job_id}").open("a") as file:
            file.write(f"{word}\n")

    def of(self, job_id: str) -> list[str]:
        file = self._directory / f"trace-{job_id}"
        return file.read_text().splitlines() if file.exists() else []

    def open(self, gate: str) -> None:
        (self._directory / f"gate-{gate}").touch()

    def is_open(self, gate: str) -> bool:
        return (self._directory / f"gate-{gate}").exists()


def trace_directory(url: str) -> Path:
    """Where the traces of the jobs of the server at `url` are kept."""
    server = hashlib.sha256(urlsplit(url).netloc.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"celeriac-traces-{server}"


class ContractJobs:
    """An application and its jobs: each kind of behaviour as `async def` and, with `_sync`, as `def`."""

    def __init__(self, app: Celeriac) -> None:
        self.app = app
        self.trace = trace = Trace(app.broker_address)

        async def add(a: int, b: int = 1) -> int:
            return a + b

        def add_sync(a: int, b: int = 1) -> int:
            return a + b

        self.add = app.job(name="add")(add)
        self.add_sync = app.job(name="add_sync")(add_sync)

        async def remind(invoice: Invoice, wait: timedelta = timedelta(days=1)) -> Invoice:
            assert isinstance(invoice.lines[0], Line)
            return invoice.model_copy(update={"due": invoice.due + wait})

        def remind_sync(invoice: Invoice, wait: timedelta = timedelta(days=1)) -> Invoice:
            assert isinstance(invoice.lines[0], Line)
            return invoice.model_copy(update={"due": invoice.due + wait})

        self.remind = app.job(name="remind")(remind)
        self.remind_sync = app.job(name="remind_sync")(remind_sync)

        async def fail(message: str) -> None:
            raise OrderRejected(message)

        def fail_sync(message: str) -> None:
            raise OrderRejected(message)

        self.fail = app.job(name="fail")(fail)
        self.fail_sync = app.job(name="fail_sync")(fail_sync)

        async def break_oddly(way: str) -> None:
            raise_odd(way)

        def break_oddly_sync(way: str) -> None:
            raise_odd(way)

        self.break_oddly = app.job(name="break_oddly")(break_oddly)
        self.break_oddly_sync = app.job(name="break_oddly_sync")(break_oddly_sync)

        async def leave(how: Literal["exit", "interrupt", "cancelled"]) -> None:
            raise _LEAVING[how]("by the job itself")

        def leave_sync(how: Literal["exit", "interrupt", "cancelled"]) -> None:
            raise _LEAVING[how]("by the job itself")

        self.leave = app.job(name="leave", retry=QUICK)(leave)
        self.leave_sync = app.job(name="leave_sync", retry=QUICK)(leave_sync)

        async def raising(name: str) -> None:
            raise leaving.LEAVING[name]()

        def raising_sync(name: str) -> None:
            raise leaving.LEAVING[name]()

        async def cancel_itself(then: Literal["wait", "return", "fail"]) -> str:
            cast("asyncio.Task[None]", asyncio.current_task()).cancel()
            if then == "wait":
                await asyncio.sleep(60)
            if then == "fail":
                raise OrderRejected("after it was cancelled")
            return then

        async def step() -> str:
            return _step()

        def step_sync() -> str:
            return _step()

        self.step = app.job(name="step")(step)
        self.step_sync = app.job(name="step_sync")(step_sync)

        async def consequent(kind: str) -> None:
            leaving.raise_with_cause(kind)

        def consequent_sync(kind: str) -> None:
            leaving.raise_with_cause(kind)

        self.consequent = app.job(name="consequent")(consequent)
        self.consequent_sync = app.job(name="consequent_sync")(consequent_sync)
        self.raising = app.job(name="raising")(raising)
        self.raising_sync = app.job(name="raising_sync")(raising_sync)
        self.cancel_itself = app.job(name="cancel_itself")(cancel_itself)

        async def promise(kind: str) -> int:
            return kind  # type: ignore[return-value]

        self.promise = app.job(name="promise")(promise)

        async def flaky(job: JobContext, failures: int) -> str:
            trace.add(job.id, f"attempt {job.attempt} of {job.attempts}")
            if job.attempt <= failures:
                raise ConnectionError(f"failure {job.attempt}")
            return "last" if job.is_last_attempt else "early"

        def flaky_sync(job: JobContext, failures: int) -> str:
            trace.add(job.id, f"attempt {job.attempt} of {job.attempts}")
            if job.attempt <= failures:
                raise ConnectionError(f"failure {job.attempt}")
            return "last" if job.is_last_attempt else "early"

        self.flaky = app.job(name="flaky", retry=QUICK)(flaky)
        self.flaky_sync = app.job(name="flaky_sync", retry=QUICK)(flaky_sync)

        async def choosy(error: Literal["reset", "refused", "value"], job: JobContext) -> None:
            trace.add(job.id, f"attempt {job.attempt}")
            raise {"reset": ConnectionResetError, "refused": ConnectionRefusedError, "value": ValueError}[error](error)

        only_connections = Retry(
            attempts=2, backoff=0.05, jitter=False, on=(ConnectionError,), never=(ConnectionRefusedError,)
        )
        self.choosy = app.job(name="choosy", retry=only_connections)(choosy)

        async def leave_by(how: str) -> None:
            raise CeleryRetry("by hand") if how == "retry" else Ignore

        def leave_by_sync(how: str) -> None:
            raise CeleryRetry("by hand") if how == "retry" else Ignore

        self.leave_by = app.job(name="leave_by", retry=QUICK)(leave_by)
        self.leave_by_sync = app.job(name="leave_by_sync", retry=QUICK)(leave_by_sync)

        async def postponed(job: JobContext, seconds: float) -> int:
            if job.attempt == 1:
                raise RetryAfter(seconds, "the other side is busy")
            return job.attempt

        self.postponed = app.job(name="postponed", retry=Retry(attempts=2, backoff=100, on=()))(postponed)

        async def block_and_postpone(job: JobContext, gate: str) -> None:
            trace.add(job.id, "start")
            while not trace.is_open(gate):
                time.sleep(0.005)  # the event loop of all jobs: the worker hears of nothing meanwhile
            raise RetryAfter(3600, "the other side is busy")

        self.block_and_postpone = app.job(name="block_and_postpone", retry=Retry(attempts=2))(block_and_postpone)

        async def scold(value: Any) -> None:
            raise OrderRejected(value)

        async def delegate(job: JobContext, seconds: float) -> str:
            await job.fan_out([self.postponed.call(seconds=seconds)])
            return "resumed"

        self.delegate = app.job(name="delegate")(delegate)
        patient = Retry(attempts=2, backoff=60 * 86_400, max_delay=60 * 86_400, jitter=False)
        self.patient = app.job(name="patient", retry=patient)(scold)

        async def hold(job: JobContext, gate: str) -> str:
            trace.add(job.id, "start")
            try:
                while not trace.is_open(gate):
                    await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                trace.add(job.id, "cancelled")
                raise
            trace.add(job.id, "end")
            return gate

        def hold_sync(job: JobContext, gate: str) -> str:
            trace.add(job.id, "start")
            try:
                while not trace.is_open(gate):
                    time.sleep(0.02)
            except BaseException as error:
                trace.add(job.id, type(error).__name__)
                raise
            trace.add(job.id, "end")
            return gate

        self.hold = app.job(name="hold")(hold)
        self.hold_sync = app.job(name="hold_sync")(hold_sync)

        def sleep_sync(job: JobContext, seconds: float) -> None:
            trace.add(job.id, "start")
            try:
                time.sleep(seconds)
            except BaseException as error:
                trace.add(job.id, type(error).__name__)
                raise
            trace.add(job.id, "end")

        self.sleep_sync = app.job(name="sleep_sync")(sleep_sync)

        async def late(job: JobContext) -> None:
            trace.add(job.id, "start")
            await asyncio.sleep(60)

        def late_sync(job: JobContext) -> None:
            trace.add(job.id, "start")
            for _ in range(6000):
                time.sleep(0.01)

        self.late = app.job(name="late", timeout=0.3)(late)
        self.late_sync = app.job(name="late_sync", timeout=0.3)(late_sync)
        self.late_retried = app.job(name="late_retried", timeout=0.2, retry=Retry(attempts=2, backoff=0.05))(late)

        async def count(job: JobContext, steps: int, gate: str | None = None) -> None:
            for step in range(1, steps + 1):
                job.progress(step, steps, f"step {step}")
                await asyncio.sleep(0.03)
            while gate is not None and not trace.is_open(gate):
                await asyncio.sleep(0.02)

        self.count = app.job(name="count")(count)

        async def who(job: JobContext, pid: bool = True) -> dict[str, Any]:
            return {"id": job.id, "attempt": job.attempt, "attempts": job.attempts, "parent": job.parent_id}

        self.who = app.job(name="who")(who)

        async def speak(value: str) -> None:
            await asyncio.sleep(0.05)
            logging.getLogger("shop.orders").warning("said %s", value)

        def speak_sync(value: str) -> None:
            logging.getLogger("shop.orders").warning("said %s", value)

        self.speak = app.job(name="speak", retry=QUICK)(speak)
        self.speak_sync = app.job(name="speak_sync")(speak_sync)

        async def remember(value: Any) -> Any:
            return value

        def remember_sync(value: Any) -> Any:
            return value

        self.remember_sync = app.job(name="remember_sync")(remember_sync)

        @app.job(name="decorated", timeout=10)
        @wrapped_tasks.plainly
        async def decorated(job: JobContext, value: int) -> int:
            await asyncio.sleep(0)
            return value + 1

        async def abide(payment: Payment, at: Annotated[datetime, Strict()]) -> list[Any]:
            return [payment, at.year]

        def abide_sync(payment: Payment, at: Annotated[datetime, Strict()]) -> list[Any]:
            return [payment, at.year]

        self.decorated = decorated
        self.abide = app.job(name="abide")(abide)
        self.abide_sync = app.job(name="abide_sync")(abide_sync)

        async def unspeakable(job: JobContext) -> Any:
            return {"items": [None, {"amount": math.nan}]}

        async def hand_out(job: JobContext) -> Any:
            return {"pending": [app.AsyncResult("a")]}

        self.hand_out = app.job(name="hand_out")(hand_out)

        async def misspell(job: JobContext) -> None:
            raise OrderRejected("\udcff.txt", 2**70)

        async def insist(job: JobContext, value: Any) -> Any:
            if job.attempt == 1:
                raise ConnectionError("not yet")
            return value

        async def bequeath(job: JobContext, value: Any) -> Any:
            await job.fan_out([self.keep.call(value)])
            return value

        async def keep(job: JobContext, value: Any) -> None:
            trace.add(job.parent_id or "", ascii(value))

        self.unspeakable = app.job(name="unspeakable")(unspeakable)
        self.scold = app.job(name="scold")(scold)
        self.misspell = app.job(name="misspell")(misspell)
        self.insist = app.job(name="insist", retry=QUICK)(insist)
        self.keep = app.job(name="keep")(keep)
        self.bequeath = app.job(name="bequeath")(bequeath)

        async def total_typed(numbers: list[int]) -> int:
            return sum(numbers)

        self.remember = app.job(name="remember")(remember)

        async def carried(job: JobContext, value: Any) -> Any:
            await job.fan_out([self.remember.call(each) for each in value])
            if job.attempt == 1:
                raise ConnectionError("again")
            return value

        def carried_sync(job: JobContext, value: Any) -> Any:
            if job.attempt == 1:
                raise ConnectionError("again")
            return value

        self.carried = app.job(name="carried", retry=QUICK)(carried)
        self.carried_sync = app.job(name="carried_sync", retry=QUICK)(carried_sync)
        self.total_typed = app.job(name="total_typed")(total_typed)

        async def child(job: JobContext, index: int, fail: bool = False, gate: str | None = None) -> int:
            trace.add(job.id, "start")
            trace.add(job.parent_id or "", f"child {index}")
            while gate is not None and not trace.is_open(gate):
                await asyncio.sleep(0.02)
            if fail:
                raise OrderRejected(f"child {index}")
            job.parent_progress(index, None, "child")
            return index

        self.child = app.job(name="child")(child)

        async def parent(job: JobContext, children: int, failing: int = 0, gate: str | None = None) -> dict[str, int]:
            trace.add(job.id, "start")
            calls = [self.child.call(index=i, fail=i < failing, gate=gate) for i in range(children)]
            ended: Children = await job.fan_out(calls)
            trace.add(job.id, "resumed")
            return {"total": ended.total, "succeeded": ended.succeeded, "failed": ended.failed}

        self.parent = app.job(name="parent")(parent)

        async def parent_flaky(job: JobContext, children: int) -> int:
            ended = await job.fan_out([self.child.call(index=i) for i in range(children)])
            trace.add(job.id, f"resumed {job.attempt}")
            if job.attempt == 1:
                raise ConnectionError("after the children")
            return ended.succeeded

        self.parent_flaky = app.job(name="parent_flaky", retry=QUICK)(parent_flaky)

        def crash(job: JobContext, gate: str) -> str:
            trace.add(job.id, "start")
            while not trace.is_open(gate):
                time.sleep(0.02)
            os._exit(9)

        self.crash = app.job(name="crash")(crash)
        self._plain_tasks(app)

    def _plain_tasks(self, app: Celeriac) -> None:
        """Celery's own tasks, as an application that comes to Celeriac has them."""

        @app.task(name="plain.total", shared=False)
        def total(numbers: list[int]) -> int:
            return sum(numbers)

        @app.task(name="plain.echo", shared=False)
        def echo(value: Any) -> Any:
            return value

        @app.task(name="plain.complain", shared=False)
        def complain(request: Any, exc: BaseException, traceback: str, key: str) -> None:
            self.trace.add(key, f"complaint {type(exc).__name__}")

        self.complain = complain

        @app.task(name="plain.scold", shared=False)
        def scold_plainly(value: Any) -> None:
            raise ValueError(value)

        @app.task(name="plain.postpone", shared=False, bind=True)
        def postpone(task: Any, days: int, as_eta: bool = False) -> None:
            delay = timedelta(days=days)
            when = {"eta": datetime.now(UTC) + delay} if as_eta else {"countdown": delay.total_seconds()}
            raise task.retry(exc=ConnectionError("later"), **when)

        self.postpone = postpone

        @app.task(name="plain.insist", shared=False, bind=True, max_retries=1)
        def insist_plainly(task: Any, value: Any) -> Any:
            if not task.request.retries:
                raise task.retry(countdown=0.05)
            return value

        def pass_on(task: Any, how: str) -> None:
            self.trace.add(task.request.id, f"attempt {task.request.retries + 1}")
            if not task.request.retries:
                raise task.retry(countdown=0)
            if how == "published":
                double.apply_async((21,), task_id=task.request.id)
                raise Ignore
            steps = {"one": double.s(21), "chain": echo.s(21) | double.s(), "group": group(echo.s(41), echo.s(1))}
            raise task.replace(steps[how])

        @app.task(name="plain.hand_on", shared=False, bind=True)
        async def hand_on(task: Any, how: str) -> None:
            pass_on(task, how)

        @app.task(name="plain.hand_on_sync", shared=False, bind=True)
        def hand_on_sync(task: Any, how: str) -> None:
            pass_on(task, how)

        self.hand_on, self.hand_on_sync = hand_on, hand_on_sync

        def leave_by(task: Any, how: str) -> None:
            if how in ("PARTIAL", "FAILURE"):
                task.update_state(state=how, meta={"PARTIAL": 1, "FAILURE": OrderRejected("told early")}[how])
            raise CeleryRetry("by hand") if how == "retry" else Ignore

        @app.task(name="plain.leave_by", shared=False, bind=True)
        async def leave_by_plainly(task: Any, how: str) -> None:
            leave_by(task, how)

        @app.task(name="plain.leave_by_sync", shared=False, bind=True)
        def leave_by_plainly_sync(task: Any, how: str) -> None:
            leave_by(task, how)

        self.leave_by_plainly, self.leave_by_plainly_sync = leave_by_plainly, leave_by_plainly_sync

        @app.task(name="plain.tell_early", shared=False, bind=True)
        async def tell_early_plainly(task: Any, gate: str) -> int:
            task.update_state(state="SUCCESS", meta=5)
            while not self.trace.is_open(gate):
                await asyncio.sleep(0.02)
            return 4

        @app.task(name="plain.tell_early_sync", shared=False, bind=True)
        def tell_early_plainly_sync(task: Any, gate: str) -> int:
            task.update_state(state="SUCCESS", meta=5)
            while not self.trace.is_open(gate):
                time.sleep(0.02)
            return 4

        self.tell_early_plainly, self.tell_early_plainly_sync = tell_early_plainly, tell_early_plainly_sync
        self.echo, self.scold_plainly, self.insist_plainly = echo, scold_plainly, insist_plainly

        @app.task(name="plain.raising", shared=False)
        async def raising_plainly(name: str) -> None:
            raise leaving.LEAVING[name]()

        @app.task(name="plain.raising_sync", shared=False)
        def raising_plainly_sync(name: str) -> None:
            raise leaving.LEAVING[name]()

        self.raising_plainly, self.raising_plainly_sync = raising_plainly, raising_plainly_sync

        @app.task(name="plain.double", shared=False)
        def double(number: int) -> int:
            return 2 * number

        @app.task(name="plain.fail", shared=False)
        def fail_plainly(message: str) -> None:
            raise OrderRejected(message)

        @app.task(name="plain.break_oddly", shared=False)
        def break_oddly_plainly(way: str) -> None:
            raise_odd(way)

        @app.task(name="plain.retry_oddly", shared=False, bind=True, max_retries=1)
        def retry_oddly(task: Any, way: str) -> None:
            try:
                raise_odd(way)
            except Exception as error:
                raise task.retry(exc=error, countdown=60) from None

        @app.task(name="plain.silent", shared=False, ignore_result=True)
        def silent(fail: bool) -> int:
            if fail:
                raise OrderRejected("silently")
            return 42

        @app.task(name="plain.early", shared=False, acks_late=False)
        def early(key: str) -> str:
            self.trace.add(key, "start")
            return key

        @app.task(name="plain.overrun", shared=False, bind=True, time_limit=1.0, acks_on_timeout=False)
        def overrun(task: Any, gate: str) -> str:
            self.trace.add(task.request.id, "start")
            over = time.monotonic() + (0 if self.trace.is_open(gate) else 4)
            # It does not look again: its end is told a moment before it is stopped, and in a thread it goes on.
            while time.monotonic() < over:
                time.sleep(0.02)
            return gate

        self.silent, self.early, self.overrun = silent, early, overrun
        self.break_oddly_plainly, self.retry_oddly = break_oddly_plainly, retry_oddly

        @app.task(name="plain.flaky", shared=False, bind=True, max_retries=3)
        def flaky_plainly(task: Any, failures: int) -> int:
            if task.request.retries < failures:
                raise task.retry(exc=ConnectionError("plainly"), countdown=0.05)
            return int(task.request.retries)

        @app.task(name="plain.hold", shared=False)
        def hold_plainly(key: str, gate: str) -> str:
            self.trace.add(key, "start")
            while not self.trace.is_open(gate):
                time.sleep(0.02)
            self.trace.add(key, "end")
            return gate

        wrapped_tasks.add_to(app)
        self.total, self.double, self.fail_plainly = total, double, fail_plainly
        self.flaky_plainly, self.hold_plainly = flaky_plainly, hold_plainly

    def twin(self, name: str, kind: str) -> Job[..., Any]:
        """The `async` or the `def` form of the job `name`."""
        return getattr(self, name if kind == "async" else f"{name}_sync")


#: Set by each run of a job, to be seen by no other.
footprint: ContextVar[str] = ContextVar("footprint", default="none")


def _step() -> str:
    """What an earlier run has left."""
    found = footprint.get()
    footprint.set("another's")
    return found


_LEAVING: dict[str, type[BaseException]] = {
    "exit": SystemExit,
    "interrupt": KeyboardInterrupt,
    "cancelled": asyncio.CancelledError,
}


def create(settings: Settings) -> ContractJobs:
    """The application of the settings."""
    app = Celeriac("contract", settings=settings)
    builtin.register(app)
    return ContractJobs(app)
