"""What a record of the log says of the job that has written it."""

from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator

import pytest
from celery import Celery
from celery.utils.log import ColorFormatter

from celeriac import Celeriac, JobLogFilter
from celeriac.engine import job_logs
from celeriac.engine.job_logs import JobFormatter

FORMAT = "%(task_id)s %(task_name)s %(attempt)s %(message)s"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the logger `shop` writes, by a configuration as users have it."""
    stream = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"job": {"()": "celeriac.JobLogFilter"}},
            "formatters": {"line": {"format": FORMAT}},
            "handlers": {
                "stream": {
                    "class": "logging.StreamHandler",
                    "stream": stream,
                    "formatter": "line",
                    "filters": ["job"],
                }
            },
            "loggers": {"shop": {"handlers": ["stream"], "propagate": False}},
        }
    )
    yield stream
    logging.getLogger("shop").handlers.clear()
    logging.getLogger("shop").propagate = True


def test_a_format_of_the_users_shows_job_task_and_attempt(lines: io.StringIO) -> None:
    app = Celery("shop", set_as_current=False, broker="memory://", backend="disabled://")

    @app.task(name="send", shared=False)
    def send() -> None:
        logging.getLogger("shop.mail").warning("sent")

    send.apply(task_id="seven", retries=2)
    assert lines.getvalue() == "seven send 3 sent\n"


def test_outside_of_jobs_there_is_none(lines: io.StringIO) -> None:
    logging.getLogger("shop").warning("up")
    assert lines.getvalue() == "- - 0 up\n"


def test_what_a_line_says_of_itself_stays(lines: io.StringIO) -> None:
    with job_logs.running("seven", "send", 1):
        logging.getLogger("shop").warning("sent", extra={"task_id": "of mine"})
    assert lines.getvalue() == "of mine send 1 sent\n"


async def test_a_job_that_a_test_runs_is_named(lines: io.StringIO) -> None:
    from celeriac.testing import in_process

    app = Celeriac("shop")

    @app.job(name="send")
    async def send() -> None:
        logging.getLogger("shop").warning("sent")

    @app.job(name="send_blocking")
    def send_blocking() -> None:
        logging.getLogger("shop").warning("sent")

    with in_process(app):
        handles = [await send.enqueue(), await send_blocking.enqueue()]
        for handle in handles:
            await handle.result()
    logging.getLogger("shop").warning("over")
    assert lines.getvalue().splitlines() == [
        f"{handles[0].id} send 1 sent",
        f"{handles[1].id} send_blocking 1 sent",
        "- - 0 over",
    ]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, without what pytest has there."""
    logger = logging.getLogger()
    before = logger.handlers[:]
    logger.handlers.clear()
    yield logger
    logger.handlers[:] = before


def _handler(logger: logging.Logger, formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return handler


def test_a_format_that_the_application_sets_stays_and_may_name_the_job(root: logging.Logger) -> None:
    formatter = ColorFormatter("%(task_name)s: %(message)s", use_color=False)
    handler = _handler(root, formatter)
    job_logs.install()
    job_logs.install()
    assert handler.formatter is formatter
    assert [type(each) for each in handler.filters] == [JobLogFilter]


def test_handlers_of_ones_own_are_left_alone(root: logging.Logger) -> None:
    formatter = logging.Formatter(job_logs._FORMAT)
    handler = _handler(root, formatter)
    job_logs.install()
    assert (handler.formatter, handler.filters) == (formatter, [])


def test_lines_of_jobs_and_other_lines_have_a_format_each(root: logging.Logger) -> None:
    handler = _handler(root, ColorFormatter(job_logs._FORMAT, use_color=False, datefmt="now"))
    job_logs.install()
    assert type(handler.formatter) is JobFormatter
    logging.getLogger("shop").warning("up")
    with job_logs.running("seven", "send", 1):
        logging.getLogger("shop").warning("sent")
        logging.getLogger("celery.worker").warning("Task send[seven] is late")
    assert handler.stream.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "[now: WARNING/MainProcess] up",
        "[now: WARNING/MainProcess] send[seven]: sent",
        "[now: WARNING/MainProcess] Task send[seven] is late",
    ]
