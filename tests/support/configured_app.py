"""An application of ours that is configured as Celery's documentation does it, from a module's name."""

import os
import time
from typing import Any

from celeriac import Celeriac
from tests.support.contract_jobs import Trace

broker_url = os.environ["CONFIGURED_URL"]
task_default_queue = "configured"

app = Celeriac("configured")
app.config_from_object(__name__)


@app.task(name="configured.hold", bind=True)
def hold(self: Any, gate: str) -> str:
    trace = Trace(broker_url)
    trace.add(self.request.id, "start")
    while not trace.is_open(gate):
        time.sleep(0.02)
    return gate


@app.job(name="configured.typed")
def typed(gate: str) -> str:
    return gate
