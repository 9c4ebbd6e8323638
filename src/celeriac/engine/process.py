"""Hooks of worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

from celery.signals import worker_process_init

from celeriac.engine import job_logs, log_records

_PR_SET_PDEATHSIG = 1

_worker_pid = 0


def install() -> None:
    """Connect the hooks, in the worker's main process. Safe to call for every application of a process."""
    global _worker_pid
    _worker_pid = os.getpid()
    log_records.install()
    worker_process_init.connect(_name_jobs, dispatch_uid="celeriac.name_jobs")
    worker_process_init.connect(_die_with_parent, dispatch_uid="celeriac.die_with_parent")


def _name_jobs(**_: Any) -> None:
    """In processes that were not forked, which set up a log of their own."""
    job_logs.install()


def die_with(parent: int) -> None:
    """Have the kernel end this process once its parent, whose process id is given, has ended. On Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def give_back_memory() -> None:
    """Give memory that is free back to the system, where the C library can: importing leaves some megabytes of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _die_with_parent(**_: Any) -> None:
    """Have the kernel end a pool process whose worker was killed.

    Else it would finish its job unseen, while the message has gone back to the queue for another worker.
    """
    if os.getpid() != _worker_pid:  # pools without processes send the signal, too
        die_with(_worker_pid)
