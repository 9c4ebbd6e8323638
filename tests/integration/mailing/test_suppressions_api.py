"""Suppressed addresses over HTTP: one by one, and as CSV."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from tests.support.post_office import KEY, PostOffice

pytestmark = pytest.mark.asyncio(loop_scope="session")

CSV = {**KEY, "Content-Type": "text/csv"}


async def add(office: PostOffice, **entry: Any) -> tuple[int, dict[str, Any]]:
    response = await office.client.post("/email/suppressions", json=entry, headers=KEY)
    return response.status_code, response.json()


async def listed(office: PostOffice, **query: Any) -> list[tuple[str, str | None]]:
    response = await office.client.get("/email/suppressions", params=query, headers=KEY)
    assert response.status_code == 200, response.text
    return [(one["email"], one["list_name"]) for one in response.json()["suppressions"]]


async def test_an_address_is_added_shown_and_removed(office: PostOffice) -> None:
    status, told = await add(office, email=" Ann@Example.com", list_name="news")
    assert status == 201
    assert (told["email"], told["list_name"], told["reason"], told["source"]) == (
        *("ann@example.com", "news"),
        *("manual", "shop"),
    )
    status, again = await add(office, email="ann@example.com", list_name="news", reason="complaint")
    assert (status, again) == (200, told), "the first reason stays"
    assert await listed(office, email="ANN@example.com") == [("ann@example.com", "news")]
    assert await listed(office, email="ann@example.com", list_name="other") == []
    path = "/email/suppressions/Ann@example.com"
    wrong = await office.client.delete(path, headers=KEY)
    assert wrong.status_code == 404
    assert "not suppressed for all mail" in wrong.json()["detail"]
    assert (await office.client.delete(path, params={"list_name": "news"}, headers=KEY)).status_code == 204
    assert await listed(office, email="ann@example.com") == []


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("a/b@example.com", "a/b@example.com"),
        ("a//b=?@example.com", "a%2F%2Fb=%3F@example.com"),
        ("ann@bücher.example.com", "ann@XN--BCHER-KVA.example.com"),
    ],
)
async def test_an_address_is_found_in_any_of_its_forms(office: PostOffice, stored: str, asked: str) -> None:
    assert (await add(office, email=stored))[0] == 201
    assert await listed(office, email=unquote(asked)) == [(stored, None)]
    assert (await office.client.delete(f"/email/suppressions/{asked}", headers=KEY)).status_code == 204
    assert await listed(office, email=stored) == []
    gone = await office.client.delete("/email/suppressions/a%00b@example.com", headers=KEY)
    assert gone.status_code == 404, gone.text


@pytest.mark.parametrize(
    "entry", [{"email": "nobody"}, {"email": "a@example.com", "list_name": "a b"}, {"email": "a@b.com", "reason": "x"}]
)
async def test_what_is_wrong_is_named(office: PostOffice, entry: dict[str, str]) -> None:
    status, problem = await add(office, **entry)
    assert status == 422
    assert problem["errors"][0]["loc"][-1] == list(entry)[-1]


async def test_a_file_is_imported_listed_in_pages_and_exported_as_it_came(office: PostOffice) -> None:
    rows = "".join(
        f"user{number:03}@import.example,{'offers' if number % 2 else ''},unsubscribe\n" for number in range(250)
    )
    body = f"Email,list,reason\n{rows}\n=sum@import.example,offers,complaint\n"
    response = await office.client.post("/email/suppressions.csv", content=body, headers=CSV)
    assert (response.status_code, response.json()) == (200, {"rows": 251}), response.text
    again = await office.client.post("/email/suppressions.csv", content=body, headers=CSV)
    assert again.json() == {"rows": 251}, "a repetition changes nothing"
    seen, after = list[str](), None
    while True:
        query = {"limit": "40", "list_name": "offers", **({"after": after} if after else {})}
        page = (await office.client.get("/email/suppressions", params=query, headers=KEY)).json()
        seen += [one["email"] for one in page["suppressions"]]
        after = page["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 126
    exported = await office.client.get("/email/suppressions.csv", headers=KEY)
    assert exported.headers["content-type"].startswith("text/csv")
    lines = exported.text.split("\r\n")
    assert lines[0] == "email,list,reason,source,created"
    (formula,) = [line for line in lines if "sum@" in line]
    assert formula.startswith("'=sum@import.example,offers,complaint,shop,"), "no formula for a spreadsheet"
    back = await office.client.post("/email/suppressions.csv", content=exported.text, headers=CSV)
    assert back.status_code == 200, back.text
    assert await office.suppressions.of("'=sum@import.example") == [], "the apostrophe was the export's"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("mail\na@example.com\n", "row 1: no column is called email"),
        ("email\n", "there are no addresses below the header"),
        ("email\nunsent1@example.com\nnobody\n", "row 3, column email: 'nobody' is not a mail address"),
        ("email,list\nunsent1@example.com,a b\n", "row 2, column list: 'a b' is no name of a list"),
        ("email,reason\nunsent1@example.com,angry\n", "row 2, column reason: 'angry' is none of unsubscribe"),
        (b"email\nunsent1@example.com\n\xff@example.com\n", "is not UTF-8"),
        ('email\nunsent1@example.com\n"open\n', "cannot be read"),
        (b"PK\x03\x04" + bytes(50), "Excel"),
        ("email\n" + "nobody\n" * 100, "and more"),
    ],
)
async def test_a_fault_in_any_row_imports_nothing(office: PostOffice, body: str | bytes, fault: str) -> None:
    response = await office.client.post("/email/suppressions.csv", content=body, headers=CSV)
    assert response.status_code == 422
    assert fault in response.json()["detail"], response.text
    assert await office.suppressions.of("unsent1@example.com") == []


async def test_a_form_is_told_to_send_the_file_itself(office: PostOffice) -> None:
    response = await office.client.post("/email/suppressions.csv", files={"file": b"email\n"}, headers=KEY)
    assert (response.status_code, "text/csv" in response.json()["detail"]) == (415, True)
