"""A shop that does its work in jobs. The same shop with FastAPI's BackgroundTasks: background_tasks.py."""

import os
from pathlib import Path

import mail_service
from fastapi import FastAPI

from celeriac import Celeriac, Retry

app = Celeriac("celeriac_jobs")


@app.job(retry=Retry(attempts=8, backoff=0.2))
def send_receipt(order: int) -> None:
    mail_service.send(order, f"receipt of order {order}")


@app.job
def write_report(name: str, size: int) -> None:
    primes = sum(all(n % d for d in range(2, n)) for n in range(2, size))
    Path(f"{name}.report").write_text(f"{primes} primes, counted by process {os.getpid()}")


app.schedule("a report each night", write_report.call(name="nightly", size=3000), cron="0 3 * * *")

api = FastAPI(lifespan=app.lifespan)
api.include_router(app.router(), prefix="/jobs")


@api.post("/orders/{order}/receipt", status_code=202)
async def receipt(order: int) -> str:
    return (await send_receipt.enqueue(order=order)).id


@api.post("/reports/{name}", status_code=202)
async def report(name: str, size: int = 3000) -> str:
    return (await write_report.enqueue(name=name, size=size)).id


@api.get("/pid")
async def pid() -> int:
    return os.getpid()
