"""Connects the hooks of worker processes: log records, job names, recursion limit, and ending with the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

from celery.signals import worker_process_init

from celeriac.engine import job_logs, log_records, recursion

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15

_worker_pid = 0


def install() -> None:
    """Connect the hooks in the worker's main process. Safe to call for each application of a process."""
    global _worker_pid
    _worker_pid = os.getpid()
    log_records.install()
    recursion.install()
    worker_process_init.connect(_prepare, dispatch_uid="celeriac.prepare_process")
    worker_process_init.connect(_die_with_parent, dispatch_uid="celeriac.die_with_parent")


def _prepare(**_: Any) -> None:
    """Install in a spawned process what a forked one has inherited."""
    job_logs.install()
    recursion.install()


def die_with(parent: int) -> None:
    """Make the kernel kill this process when its parent, with the given process id, ends. On Linux only."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def name_process(name: bytes) -> None:
    """Name this process for `top` and `ps -o comm`, in 15 bytes. Its command line stays. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name)


def give_back_memory() -> None:
    """Return free memory to the system, if the C library can. Imports leave some megabytes of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _die_with_parent(**_: Any) -> None:
    """Make the kernel kill a pool process when its worker is killed.

    Otherwise it would finish its job, while another worker runs the same job from its queue.
    """
    if os.getpid() != _worker_pid:  # pools without processes also send this signal
        die_with(_worker_pid)
