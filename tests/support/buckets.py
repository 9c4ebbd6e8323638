"""Fixtures: an empty place for files per test, on each kind of storage. A conftest.py imports those it uses.

The bucket is one of moto's server, which speaks S3's protocol over HTTP and keeps objects in its memory.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

from celeriac.core.ids import new_id
from celeriac.launch.resources.ports import free_port
from celeriac.storage.location import Location
from tests.support.waiting import wait_until


@pytest.fixture(scope="session")
def s3_server() -> Generator[str]:
    """The URL of a server of buckets."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), "moto's server listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def bucket_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a folder in a bucket, whose keys are in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"bucket-{new_id()}"
    with urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{bucket}", method="PUT")):
        return f"s3://{bucket}/celeriac"


@pytest.fixture(params=["folder", "s3"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return f"file://{tmp_path / 'storage'}"
    return request.getfixturevalue("bucket_url")


@pytest.fixture
def location(storage_url: str) -> Location:
    return Location(storage_url)


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
