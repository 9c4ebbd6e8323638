"""The password of a PDF reaches its job, and nobody who looks at jobs, messages or logs sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pypdfium2
import pytest
import redis

from celeriac import Settings
from celeriac.core.errors import InvalidArguments
from celeriac.families.reports import ReportsSettings
from celeriac.families.reports.errors import PasswordUnavailable
from celeriac.families.reports.passwords import opened, sealed
from celeriac.families.reports.request import ReportRequest, SealedPassword
from tests.support.report_api import ReportApi
from tests.support.report_shop import ReportShop
from tests.support.workers import Worker

pytestmark = pytest.mark.usefixtures("worker")
ORDERS = {"name": "orders", "parameters": {"country": "JP"}}
SECRET = "Fliederstraße 7"


def pages(pdf: bytes, password: str | None) -> int:
    with pypdfium2.PdfDocument(pdf, password=password) as document:
        return len(document)


def everything_in(client: Any) -> bytes:
    """All keys with their values, as the server keeps them in its memory."""
    return b"\n".join(key + b" " + (client.dump(key) or b"") for key in client.scan_iter(count=1000))


async def test_a_callers_password_is_seen_by_nobody_else(
    reports: ReportApi, worker: Worker, shop: ReportShop, shop_settings: Settings
) -> None:
    body = {"source": ORDERS, "password": SECRET, "preview": True}
    headers = {"Idempotency-Key": "a password"}
    first, again = [await reports.client.post("/reports", json=body, headers=headers) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"]  # sealed the same way, so it is the same request
    report = await reports.ended(first.json()["id"])
    assert report["job"]["state"] == "succeeded"
    pdf = await reports.artifact(report["job"]["id"], "report.pdf")
    assert pages(pdf, SECRET) > 0
    with pytest.raises(pypdfium2.PdfiumError, match="password"):
        pages(pdf, None)
    seen = [(await reports.client.get(f"/jobs/{report['job']['id']}")).text, first.text, str(report), worker.log]
    assert not [text for text in seen if SECRET in text or "Fliederstra" in text]
    arguments: Any = (await shop.app.client.get(report["job"]["id"])).arguments  # as `celeriac jobs show` prints them
    assert list(arguments["request"]["password"]) == ["sealed"]
    assert shop_settings.broker_url is not None
    with redis.Redis.from_url(shop_settings.broker_url.get_secret_value()) as client:
        assert b"Fliederstra" not in everything_in(client)
        assert report["job"]["id"].encode() in everything_in(client)


async def test_passwords_of_the_settings_are_chosen_by_name(reports: ReportApi) -> None:
    for name, password in (("board", "of-the-board"), ("audit", "of-the-audit")):
        made = await reports.made(ORDERS, password={"name": name})
        assert pages(await reports.artifact(made["id"], "report.pdf"), password) > 0
    told = await reports.failed(ORDERS, password={"name": "lost"})
    assert told.startswith("PasswordUnavailable: the password 'lost' cannot be read from /nowhere/at/all")


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"password": {"name": "other"}}, "password.name: no password is named 'other'"),
        ({"password": {"env": "PATH"}}, "password"),
        ({"password": ""}, "password.text"),
        ({"password": "x" * 128}, "password.text"),
        ({"layout": {"password": SECRET}}, "name the password beside the layout"),
    ],
)
async def test_a_wrong_password_is_refused_and_not_repeated(
    reports: ReportApi, more: dict[str, Any], fault: str
) -> None:
    answer = await reports.post(ORDERS, **more)
    assert answer.status_code == 422
    assert fault in answer.json()["detail"]
    assert SECRET not in answer.text
    assert "x" * 128 not in answer.text


async def test_code_cannot_put_a_password_into_arguments(shop: ReportShop) -> None:
    request = ReportRequest.model_validate({"source": ORDERS, "password": SECRET})
    with pytest.raises(InvalidArguments, match=r"may hold no password|request\.password: cannot be sent") as refused:
        shop.reports.call(request)
    assert SECRET not in f"{refused.value} {request!r}"
    call = shop.reports.call(await shop.reports.sealed(request))
    assert SECRET.encode() not in call.arguments


async def test_a_sealed_password_is_opened_with_the_key_of_its_storage_only(shop: ReportShop, tmp_path: Path) -> None:
    other = ReportShop(
        shop.app.settings.model_copy(update={"data_dir": tmp_path, "storage_url": None}), ReportsSettings()
    )
    request = ReportRequest.model_validate({"source": ORDERS, "password": SECRET})
    kept = await sealed(request, shop.app.storage)
    assert isinstance(kept.password, SealedPassword)
    assert await opened(kept, {}, shop.app.storage) == SECRET
    lengths = {
        len((await sealed(request.model_copy(update={"password": type(request.password)("x" * n)}), shop.app.storage))
            .password.sealed)
        for n in (1, 8, 30, 63)
    }  # fmt: skip
    assert len(lengths) == 1
    with pytest.raises(PasswordUnavailable, match="other storages"):
        await opened(kept, {}, other.app.storage)
    with pytest.raises(PasswordUnavailable):
        await opened(kept.model_copy(update={"password": SealedPassword(sealed="AAAA")}), {}, shop.app.storage)
    other.app.close()
