"""A FastAPI application that receives webhooks, on uvicorn: `/floor` reads a body, `/receive` makes a job of it.

python -m benchmarks.peers.hooks_shop BROKER_URL SECRET
"""

import socket
import sys
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from pydantic import SecretStr

from celeriac import Celeriac, Settings
from celeriac.families.webhooks import IncomingEvent, Received, receive


def make_api(broker_url: str, secret: str) -> FastAPI:
    app = Celeriac("shop", settings=Settings(broker_url=SecretStr(broker_url)))
    api = FastAPI(lifespan=app.lifespan)

    @app.job(name="on_order")
    async def on_order(event: IncomingEvent[dict[str, Any]]) -> None: ...

    received = receive(on_order, secrets=secret)

    @api.post("/receive", status_code=202)
    async def take(event: Annotated[Received, Depends(received)]) -> Received:
        return event

    @api.post("/floor", status_code=202)
    async def floor(request: Request) -> dict[str, str]:
        await request.body()
        return {"id": request.headers["webhook-id"]}

    return api


def main() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(make_api(*sys.argv[1:3]), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
