"""Tasks that jobs do not find."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import Future

import pytest

from celeriac.core import background as module
from celeriac.core.background import background, share
from celeriac.engine.loop import job_loop


def _others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def test_on_a_loop_with_jobs_none_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_shared", None)  # set back afterwards
    share(asyncio.get_running_loop())
    task = background(asyncio.sleep(60))
    await asyncio.sleep(0)
    assert _others() == set()
    task.cancel()
    await asyncio.wait([task])


async def test_on_any_other_loop_they_are_listed() -> None:
    task = background(asyncio.sleep(60))
    await asyncio.sleep(0)
    assert _others() == {task}
    task.cancel()
    await asyncio.wait([task])


def test_a_job_never_finds_one_of_another_thread_even_before_its_first_step() -> None:
    listed: Future[int] = Future()
    loop = job_loop()

    def look() -> None:
        """Run between the callback that makes the task, and the task's first step."""
        listed.set_result(len(asyncio.all_tasks(loop.loop)))

    def submit() -> None:
        loop.submit(asyncio.sleep(0))
        loop.call_soon(look)

    loop.call_soon(submit)
    assert listed.result(timeout=60) == 0


def test_a_script_that_leaves_one_behind_ends_without_a_word() -> None:
    script = (
        "import asyncio\n"
        "from celeriac.core.background import background\n"
        "async def main():\n"
        "    asyncio.get_running_loop().slow_callback_duration = 60\n"  # a busy machine is no concern of this test
        "    background(asyncio.sleep(60))\n"
        "    await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
