"""Celery's ways to configure an application, in every order: our defaults survive, and what its user sets wins."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app.defaults import SETTING_KEYS
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.engine.backend import ResultBackend
from celeriac.engine.defaults import celery_defaults
from tests.support import celery_configs
from tests.support.celery_configs import INSTANCE, OLD, PREFIXED, SETTINGS, Own

ABSENT = "redis://127.0.0.1:1/0"
MODULE = celery_configs.__name__

#: What an application is configured with when it is made.
AT_CONSTRUCTION: dict[str, dict[str, Any]] = {
    "keyword arguments": SETTINGS,
    "changes=": {"changes": SETTINGS},
    "config_source=": {"config_source": SETTINGS},
    "config_source=, a module": {"config_source": MODULE},
    "namespace=": {"config_source": PREFIXED, "namespace": "SHOP"},
}


def assign(app: Celery) -> None:
    for name, value in SETTINGS.items():
        setattr(app.conf, name, value)


#: How it is configured after that.
LATER: dict[str, Callable[[Celery], object]] = {
    "nothing": lambda _: None,
    "app.conf.name = value": assign,
    "app.conf.update": lambda app: app.conf.update(SETTINGS),
    "a dict": lambda app: app.config_from_object(dict(SETTINGS)),
    "a class": lambda app: app.config_from_object(Own),
    "an instance": lambda app: app.config_from_object(INSTANCE),
    "a module": lambda app: app.config_from_object(celery_configs),
    "a module's name": lambda app: app.config_from_object(MODULE),
    "a name in a module": lambda app: app.config_from_object(f"{MODULE}:Own"),
    "at once": lambda app: app.config_from_object(Own, force=True),
    "silently": lambda app: app.config_from_object("there_is_no_such_module", silent=True),
    "a prefix": lambda app: app.config_from_object(PREFIXED, namespace="SHOP"),
    "old names": lambda app: app.config_from_object(OLD),
    "a variable": lambda app: app.config_from_envvar("SHOP_CONFIG"),
    "a variable, at once": lambda app: app.config_from_envvar("SHOP_CONFIG", force=True),
    "the command line": lambda app: app.config_from_cmdline(["worker.prefetch_multiplier=4"]),
    "defaults": lambda app: app.add_defaults({"task_default_queue": "own", "task_acks_late": False}),
    "lazy defaults": lambda app: app.add_defaults(lambda: {"task_default_queue": "own", "task_acks_late": False}),
}


def look(app: Celery) -> None:
    assert app.conf.task_acks_late in (True, False)


def nothing() -> None:
    """What the tasks of these applications do."""


def declare(app: Celery) -> None:
    app.task(name="shop.stock", shared=False)(nothing)
    if isinstance(app, Celeriac):
        app.schedule("often", app.job(name="shop.typed")(nothing).call(), every=1)


#: What is done to an application one after the other; `None` stands for being configured.
ORDERS: dict[str, list[Callable[[Celery], object] | None]] = {
    "before tasks": [None, declare],
    "after tasks": [declare, None],
    "after a look": [look, None, declare],
    "after tasks and a look": [declare, look, None],
    "between two looks": [look, None, look, declare],
    "after being finalized": [declare, Celery.finalize, None],
    "twice": [None, declare, None],
    "twice, and a look between": [None, look, declare, None],
    "once more by an object": [None, declare, look, lambda app: app.config_from_object({"task_default_queue": "last"})],
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SHOP_CONFIG", MODULE)
    return Settings(broker_url=SecretStr(ABSENT), data_dir=tmp_path, worker_concurrency=7)


@pytest.fixture
def app(settings: Settings) -> Iterator[Celeriac]:
    with closing(Celeriac("shop", settings=settings)) as made:
        yield made


def expected(stock: Celery, settings: Settings) -> dict[str, Any]:
    """What its user has set for an application of stock Celery, else our default, else Celery's."""
    ours = celery_defaults(settings)
    return {
        name: ours[name] if name in ours and not stock.conf.value_set_for(name) else stock.conf.get(name)
        for name in SETTING_KEYS
        if name != "beat_schedule"
    }


def configured(app: Celery) -> dict[str, Any]:
    return {name: app.conf.get(name) for name in SETTING_KEYS if name != "beat_schedule"}


def pairs(some: Iterable[str], others: Iterable[str], usual: set[str]) -> list[Any]:
    """All pairs; those without a usual one are left to `--slow`."""
    return [
        pytest.param(one, other, marks=[] if usual & {one, other} else [pytest.mark.slow])
        for one, other in product(some, others)
    ]


@pytest.mark.parametrize(("order", "way"), pairs(ORDERS, LATER, {"after a look", "a class"}))
def test_our_defaults_hold_below_what_an_application_is_configured_with(
    settings: Settings, way: str, order: str
) -> None:
    with (
        closing(Celeriac("shop", settings=settings)) as app,
        closing(Celery("shop", set_as_current=False)) as stock,
    ):
        for step in ORDERS[order]:
            for each in (app, stock):
                (step or LATER[way])(each)
        assert configured(app) == expected(stock, settings)
        assert [*app.conf.beat_schedule] == ["often"]
        assert app.tasks["shop.typed"].acks_late
        assert app.tasks["shop.stock"].acks_late in (True, app.conf.task_acks_late)


@pytest.mark.parametrize(("given", "way"), pairs(AT_CONSTRUCTION, LATER, {"config_source=", "a class"}))
def test_our_defaults_hold_below_what_an_application_is_made_with(settings: Settings, given: str, way: str) -> None:
    options = AT_CONSTRUCTION[given]
    with (
        closing(Celeriac("shop", settings=settings, **{**options})) as app,
        closing(Celery("shop", set_as_current=False, **{**options})) as stock,
    ):
        for step in (declare, LATER[way], look):
            for each in (app, stock):
                step(each)
        assert configured(app) == expected(stock, settings)


def test_the_module_that_celerys_own_variable_names_is_read_and_our_defaults_hold(
    app: Celeriac, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_CONFIG_MODULE", MODULE)  # what `celery --config` sets, too
    declare(app)
    assert (app.conf.task_default_queue, app.conf.worker_prefetch_multiplier) == ("own", 4)
    assert (app.conf.worker_consumer, app.conf.task_reject_on_worker_lost) == (
        "celeriac.engine.consumer:Consumer",
        True,
    )


def test_an_application_is_neither_finalized_nor_configured_by_being_made_and_by_having_tasks(app: Celeriac) -> None:
    declare(app)
    app.router()
    assert (app.finalized, app.configured) == (False, False)
    assert {"shop.typed", "shop.stock"} <= app.tasks.keys()
    assert (app.finalized, app.configured) == (True, True)


def test_an_application_that_its_user_finalizes_takes_jobs_before_and_after(settings: Settings) -> None:
    with closing(Celeriac("shop", settings=settings, autofinalize=False)) as app:
        declare(app)
        with pytest.raises(RuntimeError, match="not finalized"):
            assert app.tasks
        app.finalize()
        late = app.job(name="shop.late")(nothing)
        assert app.tasks["shop.late"] is late.task


def test_hooks_of_celerys_see_our_defaults_and_our_jobs(app: Celeriac) -> None:
    seen: list[Any] = []
    app.on_after_configure.connect(lambda sender, **_: seen.append(sender.conf.task_acks_late), weak=False)
    app.on_after_finalize.connect(lambda sender, **_: seen.append("shop.typed" in sender.tasks), weak=False)
    declare(app)
    app.finalize()
    assert seen == [True, True]


def test_a_schedule_stays_beside_what_the_application_is_configured_with(app: Celeriac) -> None:
    declare(app)
    look(app)
    app.config_from_object({"beat_schedule": {"daily": {"task": "shop.stock", "schedule": 86_400}}})
    assert [*app.conf.beat_schedule] == ["daily", "often"]
    app.conf.beat_schedule = {"weekly": {"task": "shop.stock", "schedule": 604_800}}
    app.finalize()  # as beat does before it looks
    assert [*app.conf.beat_schedule] == ["weekly", "often"]


def test_results_are_kept_on_the_broker_that_the_application_is_configured_with(app: Celeriac) -> None:
    other = ABSENT.replace(":1/", ":2/")
    app.config_from_object({"broker_url": other})
    assert (app.broker_address, app.results_address, app.results_are_separate) == (other, other, False)
    backend: Any = app.backend
    assert isinstance(backend, ResultBackend)
    assert (backend.url, backend.is_on_broker) == (other, True)
    app.config_from_object({"broker_url": other, "result_backend": ABSENT})
    assert (app.broker_address, app.results_address, app.results_are_separate) == (other, ABSENT, True)


def test_a_configuration_that_cannot_be_read_is_an_error_and_not_our_defaults_alone(app: Celeriac) -> None:
    app.config_from_object("there_is_no_such_module")
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        assert app.conf.task_acks_late


@pytest.mark.parametrize("is_configured", [False, True])
def test_a_pickled_application_keeps_its_settings(settings: Settings, is_configured: bool) -> None:
    with closing(Celeriac("shop", settings=settings)) as app:
        app.config_from_object(MODULE)
        app.conf.task_default_priority = 6
        if is_configured:
            look(app)
        with closing(pickle.loads(pickle.dumps(app))) as copy:
            assert copy.settings == settings
            assert configured(copy) == configured(app)
