"""dlt on the same API: its REST source, which is what its documentation recommends, with `merge` by the key.

python -m benchmarks.peers.sync_dlt URL DATABASE FOLDER

It prints its seconds, CPU seconds and peak memory in MiB.
"""

# pyright: basic

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import dlt
from dlt.sources.rest_api import rest_api_source
from sqlalchemy.engine import make_url


def main(url: str, database: str, folder: str) -> None:
    destination: Any
    if database.startswith("sqlite"):
        destination = dlt.destinations.sqlalchemy(database)
    else:
        place = make_url(database)
        # dlt asks for a host and a password. The socket's folder is what counts.
        credentials = f"postgresql://{place.username}:none@localhost:5432/{place.database}?host={place.query['host']}"
        destination = dlt.destinations.postgres(credentials)
    pipeline = dlt.pipeline("orders", pipelines_dir=folder, destination=destination, dataset_name="main")
    source = rest_api_source(
        {
            "client": {
                "base_url": url,
                "paginator": {"type": "cursor", "cursor_path": "next", "cursor_param": "after"},
            },
            "resource_defaults": {"primary_key": "id", "write_disposition": "merge", "max_table_nesting": 0},
            "resources": [{"name": "orders", "endpoint": {"path": "orders", "data_selector": "data"}}],
        }
    )
    began = time.monotonic()
    pipeline.run(source).raise_on_failed_jobs()
    seconds = time.monotonic() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(seconds, sum(one.ru_utime + one.ru_stime for one in used), used[0].ru_maxrss / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:4])
