"""An application that knows nothing of Celeriac: stock Celery on stock kombu, with tasks of the same names."""

import os

from celery import Celery

app = Celery("stock", broker=os.environ["STOCK_URL"], backend=os.environ["STOCK_URL"])
app.conf.worker_hijack_root_logger = True


@app.task(name="add")
def add(a: int, b: int = 1) -> int:
    return a + b
