"""Gives a Celery application default settings that survive all of Celery's ways of configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

from celery import Celery

from celeriac.engine.adoption import RESULT_BACKEND
from celeriac.engine.defaults import celery_defaults, life_ms
from celeriac.settings import Settings, is_broker_url


class ConfiguredApp(Celery):
    """A Celery application with Celeriac's defaults, in whatever way and however often it is configured.

    They rank right above Celery's defaults. Celery's `add_defaults` would not do: its settings override the module or
    object that the application is configured from, and are lost when the configuration is read again.
    """

    def __init__(self, main: str | None, settings: Settings, **options: Any) -> None:
        self.settings = settings
        self._defaults: dict[str, Any] = {}
        self._schedules: dict[str, Any] = {}
        self._completion_checks: list[Callable[[], None]] = []
        super().__init__(main, **options)
        cast(Any, self.on_after_configure).connect(self._complete)
        cast(Any, self.on_after_finalize).connect(self._add_schedules)
        if self.configured:  # a subclass did that in `on_init`
            self._complete(self.conf)

    def prepare_config(self, c: Any) -> Any:
        """Compute the defaults anew. Celery calls this whenever it reads the configuration."""
        self._defaults = celery_defaults(self.settings)
        return super().prepare_config(c)

    @cached_property
    def retention_ms(self) -> int:
        """How long the record, result and events of a finished job are kept (ms): Celery's `result_expires`."""
        return life_ms(self.conf.result_expires) or int(self.settings.retention * 1000)

    @cached_property
    def failure_retention_ms(self) -> int:
        """The same for a failed job (ms): Celery's `result_failure_expires`, if it is set."""
        return life_ms(self.conf.result_failure_expires) or self.retention_ms

    @property
    def broker_address(self) -> str:
        """The broker's URL in force, from Celeriac's settings or Celery's."""
        return str(self.conf.broker_write_url or self.conf.broker_url)

    @property
    def results_address(self) -> str:
        """The URL of the Redis that keeps results, without the prefix that names the backend's class.

        Without a URL, or with one of another kind of backend, this is the broker.
        """
        url = str(self.conf.result_backend).removeprefix(f"{RESULT_BACKEND}+")
        return url if is_broker_url(url) else self.broker_address

    @cached_property
    def results_are_separate(self) -> bool:
        """Whether results are kept in another place than the job records."""
        return self.results_address != self.broker_address

    @property
    def is_always_eager(self) -> bool:
        """Celery's `task_always_eager`. Read for each job, and faster than through Celery's settings object."""
        conf = cast(Any, self.conf)
        set_later = conf.changes.get("task_always_eager") if self.configured else None
        return self._is_configured_eager if set_later is None else bool(set_later)

    @cached_property
    def _is_configured_eager(self) -> bool:
        return bool(self.conf.task_always_eager)

    @property
    def schedules(self) -> Mapping[str, Mapping[str, Any]]:
        """Beat's entries that code has added, by name."""
        return self._schedules

    def add_schedule(self, name: str, entry: dict[str, Any]) -> None:
        """Add an entry to `beat_schedule`, which later configuration does not remove."""
        self._schedules[name] = entry
        if self.configured:
            self._add_schedules()

    def when_complete(self, check: Callable[[], None]) -> None:
        """Have `check` look at the application when a worker, beat or an API of it starts, and all is declared.

        It raises `ConfigurationError`, which stops the start.
        """
        self._completion_checks.append(check)

    def check_complete(self) -> None:
        """Run the checks of `when_complete`.

        Raises:
            ConfigurationError: something that was declared does not fit.
        """
        for check in self._completion_checks:
            check()

    def _complete(self, source: Any, **_: Any) -> None:
        for maps in (source.maps, source.defaults):
            maps.insert(-1, self._defaults)
        for name in ("_is_configured_eager", "results_are_separate", "retention_ms", "failure_retention_ms"):
            vars(self).pop(name, None)
        self._add_schedules()

    def _add_schedules(self, **_: Any) -> None:
        if self._schedules:
            self.conf.beat_schedule = {**self.conf.beat_schedule, **self._schedules}

    def __reduce_keys__(self) -> dict[str, Any]:
        return {**super().__reduce_keys__(), "settings": self.settings}
