"""A job whose service is down, then busy. It retries with backoff, and then after the pause that the service asks for.

$ celeriac up --app weather:app      # in one terminal
$ python weather.py                  # in another
queued
running, attempt 1
retrying: ConnectionError: the service is down
queued
running, attempt 2
retrying: RetryAfter: 429 Too Many Requests
queued
running, attempt 3
succeeded
Oslo: 4 °C
"""

import asyncio

from celeriac import Celeriac, JobContext, Retry, RetryAfter

app = Celeriac("weather")


async def ask_service(city: str, attempt: int) -> int:
    """Ask the service. This stands for an HTTP call."""
    if attempt == 1:
        raise ConnectionError("the service is down")
    if attempt == 2:
        raise RetryAfter(0.5, "429 Too Many Requests")  # what its Retry-After header said
    return 4


@app.job(retry=Retry(attempts=6, backoff=0.5, on=(ConnectionError, TimeoutError)), timeout=10)
async def forecast(job: JobContext, city: str) -> str:
    return f"{city}: {await ask_service(city, job.attempt)} °C"


async def main() -> None:
    handle = await forecast.enqueue(city="Oslo")
    async for event in handle.events():
        match event.data:
            case {"state": "retrying", "error": error}:
                print(f"retrying: {error['type']}: {error['message']}")
            case {"state": state, "attempt": attempt}:
                print(f"{state}, attempt {attempt}")
            case {"state": state}:
                print(state)
    print(await handle.result())
    await app.client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
