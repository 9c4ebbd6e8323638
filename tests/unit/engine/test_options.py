"""Each option of Celery's and kombu's has been decided on; a release with a new one fails here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from celery.app.defaults import DEFAULTS
from celery.bin.worker import worker as worker_command
from kombu.transport import redis as kombu_redis

from celeriac.engine import options
from celeriac.engine.adoption import SAFE_SETTINGS, TRANSPORT_OPTIONS
from celeriac.engine.defaults import celery_defaults
from celeriac.engine.options import Fate, Where
from celeriac.settings import Settings

OURS = {"lease"}
#: Some are read where kombu has no list of them.
DOCUMENTED = re.findall(r"^\* ``(\w+)``", (kombu_redis.__doc__ or "").partition("Queue Arguments")[0], re.MULTILINE)


def test_every_option_of_the_command_line_is_decided_on() -> None:
    known: set[str] = set()
    for option in worker_command.params:
        decided = {name.removeprefix("--") for name in option.opts} & set(options.COMMAND_LINE)
        assert len(decided) == 1, option.opts
        known |= decided
    assert known == set(options.COMMAND_LINE)


def test_every_setting_is_decided_on() -> None:
    assert set(options.SETTINGS) == set(DEFAULTS)


def test_every_option_of_the_transport_is_decided_on() -> None:
    known = set(kombu_redis.Channel.from_transport_options) | set(DOCUMENTED)
    assert set(options.TRANSPORT) - OURS == known


@pytest.mark.parametrize("table", [options.COMMAND_LINE, options.SETTINGS, options.TRANSPORT])
def test_what_is_not_done_has_a_reason(table: dict[str, options.Option]) -> None:
    for name, option in table.items():
        assert option.fate is not Fate.IDLE or option.note, name
        assert (option.fate is not Fate.REFUSED) or option.refusal, name


def test_no_default_is_refused(tmp_path: Path) -> None:
    ours = {**DEFAULTS, **SAFE_SETTINGS, **celery_defaults(Settings(data_dir=tmp_path))}
    for name, option in options.SETTINGS.items():
        refusal = option.refusal
        if refusal is None:
            continue
        value = ours[name]
        refused = value != DEFAULTS[name] if refusal.values is None else refusal.values(value)
        assert not refused, name
    assert not any(option.refusal for name, option in options.TRANSPORT.items() if name in TRANSPORT_OPTIONS)
    assert {option.refusal.where for option in options.SETTINGS.values() if option.refusal} <= set(Where)
