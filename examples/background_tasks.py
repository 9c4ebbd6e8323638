"""A shop that does its work in FastAPI's BackgroundTasks. The same shop with jobs: celeriac_jobs.py."""

import os
from pathlib import Path

import mail_service
from fastapi import BackgroundTasks, FastAPI

api = FastAPI()


def send_receipt(order: int) -> None:
    mail_service.send(order, f"receipt of order {order}")


def write_report(name: str, size: int) -> None:
    primes = sum(all(n % d for d in range(2, n)) for n in range(2, size))
    Path(f"{name}.report").write_text(f"{primes} primes, counted by process {os.getpid()}")


@api.post("/orders/{order}/receipt", status_code=202)
async def receipt(order: int, background: BackgroundTasks) -> None:
    background.add_task(send_receipt, order)


@api.post("/reports/{name}", status_code=202)
async def report(name: str, background: BackgroundTasks, size: int = 3000) -> None:
    background.add_task(write_report, name, size)


@api.get("/pid")
async def pid() -> int:
    return os.getpid()
