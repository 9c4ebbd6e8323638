"""Compiles MJML and inlines CSS in a process of its own (`outside/compile.py`), which ends in time."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from celeriac.families.email.errors import TemplateInvalid

_SCRIPT = str(Path(__file__).with_name("outside") / "compile.py")
#: One usually takes a tenth of a second. Its CPU time is bounded in the script.
_TIMEOUT_S = 20.0
#: Processes at the same time: each may take a gigabyte.
_AT_ONCE = 2

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def compiled(template: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Have the script do what is asked, and return its answer. `template` names the template in the error.

    Raises:
        TemplateInvalid: it takes too much time or memory.
    """
    slots = _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(_AT_ONCE))
    async with slots:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", _SCRIPT), stdin=PIPE, stdout=PIPE, stderr=PIPE, env={"PATH": os.defpath}
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                output, told = await process.communicate(json.dumps(asked).encode())
        except TimeoutError:
            raise _too_much(template) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if process.returncode:
        if process.returncode > 0 and b"MemoryError" not in told:
            raise RuntimeError(told.decode(errors="replace")[-2_000:])
        raise _too_much(template)
    return json.loads(output)


def _too_much(template: str) -> TemplateInvalid:
    return TemplateInvalid(
        template, None, "takes too much time or memory to prepare; nest less, or have fewer CSS rules"
    )
