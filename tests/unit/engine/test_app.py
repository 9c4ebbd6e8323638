"""The application: defining jobs, and what settings of Celery's own make of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from celeriac import ConfigurationError, InvalidJobDefinition, Job, Retry, Settings
from celeriac.engine.app import JobApp
from celeriac.engine.backend import ResultBackend
from celeriac.engine.transport import Transport
from celeriac.http.router import create_router

ABSENT = "redis://127.0.0.1:1/0"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[JobApp]:
    app = JobApp("shop", settings=Settings(data_dir=tmp_path))
    yield app
    app.close()


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def test_a_bare_decorator_makes_a_job_named_as_celery_names_tasks(app: JobApp) -> None:
    job = app.job(add)
    assert isinstance(job, Job)
    assert job.name == f"{add.__module__}.add"
    assert (job.spec.options.queue, job.spec.options.timeout, job.spec.options.retry.attempts) == (None, None, 1)


def test_a_decorator_with_options_makes_a_job_that_has_them(app: JobApp) -> None:
    job = app.job(name="shop.add", queue="slow", retry=Retry(attempts=8), timeout=30, exposed=False)(add)
    options = job.spec.options
    assert (job.name, options.queue, options.retry, options.timeout, options.exposed) == (
        *("shop.add", "slow"),
        *(Retry(attempts=8), 30, False),
    )


def test_a_job_is_a_celery_task_whose_message_is_acknowledged_after_it(app: JobApp) -> None:
    job = app.job(name="shop.add", timeout=30)(add)
    task: Any = app.tasks["shop.add"]
    assert task is job.task
    assert (task.acks_late, task.reject_on_worker_lost, task.time_limit, task.__doc__) == (True, True, 35, "Adds.")


def test_two_jobs_with_one_name_are_refused_and_the_first_stays(app: JobApp) -> None:
    first = app.job(name="shop.add")(add)
    with pytest.raises(InvalidJobDefinition, match=r"two jobs are named 'shop\.add'; give one of them another `name`"):
        app.job(name="shop.add")(lambda: None)
    assert app.specs["shop.add"] is first.spec


def test_one_function_may_be_two_jobs(app: JobApp) -> None:
    assert {app.job(name=name)(add).name for name in ("shop.add", "shop.add_slowly")} == set(app.specs)


def test_a_wrong_option_is_refused_where_it_is_written(app: JobApp) -> None:
    with pytest.raises(ConfigurationError, match="timeout=0"):
        app.job(timeout=0)
    assert app.specs == {}


def test_applications_do_not_share_jobs(app: JobApp, tmp_path: Path) -> None:
    other = JobApp("other", settings=Settings(data_dir=tmp_path))
    app.job(name="shop.add")(add)
    assert "shop.add" not in other.specs
    other.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backend": ABSENT},
        {"broker": ABSENT, "backend": ABSENT.replace("redis:", "rediss:") + "?ssl_cert_reqs=required"},
    ],
    ids=["default", "redis", "rediss"],
)
def test_results_on_redis_are_recorded_whoever_names_the_backend(tmp_path: Path, options: dict[str, Any]) -> None:
    app = JobApp("shop", settings=Settings(data_dir=tmp_path), **options)
    assert isinstance(app.backend, ResultBackend)
    assert app.results_address == options.get("backend", Settings(data_dir=tmp_path).broker())
    app.close()


def test_results_on_redis_are_recorded_also_where_celerys_configuration_names_them(app: JobApp) -> None:
    app.conf.result_backend = ABSENT
    assert isinstance(app.backend, ResultBackend)
    assert app.results_address == ABSENT


def test_a_unix_socket_serves_as_broker_and_for_results(tmp_path: Path) -> None:
    url = SecretStr("redis+socket:///run/valkey.sock?virtual_host=2")
    app = JobApp("shop", settings=Settings(data_dir=tmp_path, broker_url=url))
    backend: Any = app.backend
    connection = backend.client.connection_pool.make_connection()
    assert (connection.path, connection.db) == ("/run/valkey.sock", 2)
    assert isinstance(app.connection_for_write().transport, Transport)
    assert not app.results_are_separate
    app.close()


def test_celerys_own_settings_win_over_our_defaults(tmp_path: Path) -> None:
    app = JobApp("shop", settings=Settings(data_dir=tmp_path), broker=ABSENT)
    app.conf.task_default_queue = "shop"
    assert app.broker_address == ABSENT
    assert app.conf.task_default_queue == "shop"
    assert app.conf.accept_content == ["json"]
    app.close()


def test_only_exposed_jobs_can_be_submitted_over_http(app: JobApp) -> None:
    app.job(name="shop.open")(add)
    app.job(name="shop.inner", exposed=False)(add)
    paths = {getattr(route, "path", "") for route in create_router(app).routes}
    assert "/shop.open" in paths
    assert "/shop.inner" not in paths


def test_a_schedule_joins_those_that_celery_knows(app: JobApp) -> None:
    job = app.job(name="shop.add")(add)
    app.schedule("first", job.call(1, 2), every=60)
    app.schedule("second", job.call(3, 4), cron="0 * * * *", queue="slow")
    assert {name: entry["kwargs"] for name, entry in app.conf.beat_schedule.items()} == {
        "first": {"a": 1, "b": 2},
        "second": {"a": 3, "b": 4},
    }
