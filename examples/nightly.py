"""Schedules: beat enqueues a job every second, and another each night.

$ celeriac up --app nightly:app      # in one terminal
$ python nightly.py                  # in another
heartbeat of main
heartbeat of main
heartbeat of main
"""

import asyncio

from celeriac import Celeriac

app = Celeriac("nightly")


@app.job
async def heartbeat(shop: str) -> str:
    return f"heartbeat of {shop}"


@app.job
async def close_day(shop: str) -> None:
    """Close the day. Beat enqueues this at 23:55 UTC."""


app.schedule("heartbeat", heartbeat.call(shop="main"), every=1)
app.schedule("close the day", close_day.call(shop="main"), cron="55 23 * * *")


async def main() -> None:
    seen: set[str] = set()
    while len(seen) < 3:
        jobs, _ = await app.client.page(matches=lambda job: job.task == heartbeat.name and job.state.finished)
        for job in jobs:
            if job.id not in seen:
                seen.add(job.id)
                print(await heartbeat.handle(job.id).result())
        await asyncio.sleep(0.1)
    await app.client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
