"""Every private name of Celery, kombu and billiard that Celeriac uses, in one place.

A test looks at each after an upgrade; `celery` and `kombu` are pinned to one minor version.
"""

from __future__ import annotations

from typing import Any

from celery import _state

#: The tasks that are being run, for `current_task`: a stack that goes by thread unless told otherwise.
task_stack: Any = _state._task_stack  # pyright: ignore[reportPrivateUsage]
