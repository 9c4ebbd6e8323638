"""Refuses to start a worker with an option that it would ignore (`options.py`), and names option and reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from celery.app.defaults import DEFAULTS
from kombu.utils.imports import symbol_by_name
from kombu.utils.scheduling import cycle_by_name

from celeriac.core.errors import CommandLineWrong, ConfigurationError
from celeriac.engine import options
from celeriac.engine.adoption import CONSUMER
from celeriac.engine.options import Option, Where
from celeriac.engine.start import shard
from celeriac.engine.start.loading import check_complete

#: Types of values that messages show. Others may be long, or contain secrets.
_SHOWN = (bool, int, float, tuple)


class OptionRefused(CommandLineWrong, click.ClickException):
    """An option of the command line is refused. `celery` prints it as one line, because it is a `ClickException`."""

    exit_code = 2


class SettingRefused(ConfigurationError, click.ClickException):
    """A setting is refused. `celery` prints it as one line, because it is a `ClickException`."""

    exit_code = 3


def check(app: Any, controller: Any, *, is_asyncio: bool) -> None:
    """Check all options that the user has set.

    Args:
        app: the application.
        controller: Celery's worker, with the options of its command line.
        is_asyncio: whether its pool is the asyncio pool.

    Raises:
        OptionRefused, SettingRefused: the worker would ignore an option or a setting.
    """
    places = {Where.EVERY}
    if is_asyncio:
        places |= {Where.ASYNCIO} if shard.is_supervised() else {Where.ASYNCIO, Where.ALONE}
    if getattr(app, "keeps_job_records", False):
        places.add(Where.CLASS)
    conf = app.conf
    for name, value, reason in _dropped(options.SETTINGS, lambda name: conf[name], places, DEFAULTS):
        raise SettingRefused(f"{_shown(name, value)} cannot be used: {reason}")
    for name, value, reason in _dropped(options.COMMAND_LINE, lambda name: _given(controller, name), places, {}):
        raise OptionRefused(f"--{_shown(name, value)} cannot be used: {reason}")
    _check_transport_options(conf.broker_transport_options or {}, places)
    try:
        check_complete(app)  # again, because Celery's own command line has not
    except ConfigurationError as error:
        raise SettingRefused(str(error)) from None


def check_consumer(named: str | type) -> None:
    """Check the setting `worker_consumer`. The asyncio pool does it, because another consumer would not.

    Raises:
        SettingRefused: it names no subclass of Celeriac's consumer.
    """
    refusal = options.SETTINGS["worker_consumer"].refusal
    assert refusal is not None, "the table says so"
    consumer: Any = symbol_by_name(named)
    ours: Any = symbol_by_name(CONSUMER)
    if not issubclass(consumer, ours):
        raise SettingRefused(f"worker_consumer={named} cannot be used: {refusal.reason}")


def _check_transport_options(given: Mapping[str, Any], places: set[Where]) -> None:
    for name, value, reason in _dropped(options.TRANSPORT, given.get, places, {}):
        raise SettingRefused(f"broker_transport_options: {_shown(name, value)} cannot be used: {reason}")
    order = given.get("queue_order_strategy", "round_robin")
    try:
        cycle_by_name(order)
    except (ImportError, AttributeError, ValueError, TypeError):
        raise SettingRefused(
            f"broker_transport_options: queue_order_strategy={order!r}: give round_robin, priority, sorted, "
            "or the name of a class, module:Class"
        ) from None


def _dropped(
    table: Mapping[str, Option], value_of: Callable[[str], Any], places: set[Where], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, Any, str]]:
    """Find the options of a table that the user has set and workers in `places` refuse, each with the reason."""
    for name, option in table.items():
        refusal = option.refusal
        if refusal is None or refusal.where not in places:
            continue
        value, default = value_of(name), defaults.get(name)
        is_refused = value != default if refusal.values is None else refusal.values(value)
        if is_refused:
            yield name, value, refusal.reason


def _given(controller: Any, name: str) -> Any:
    return getattr(controller, name.replace("-", "_"), None)


def _shown(name: str, value: Any) -> str:
    if not isinstance(value, _SHOWN):
        return name
    return f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
