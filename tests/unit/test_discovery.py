"""Which job families there are, and how the absence of one is explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from celeriac import builtin, discovery
from celeriac.application import Celeriac
from celeriac.asgi import create_api, include
from celeriac.core.errors import ConfigurationError
from celeriac.discovery import Presence, found, guests, host_families
from celeriac.families.email import EmailFamily
from celeriac.family import Host, JobFamily
from celeriac.settings import Settings
from tests.support.local_client import local_client
from tests.support.workers import ROOT

#: What the house is made of, apart from its guests.
HOUSE = ("core", "store", "engine", "client", "http", "launch", "settings.py", "asgi.py", "worker.py", "database")

NeedsMore = type(
    "NeedsMore", (EmailFamily,), {"requires": ("json", "no_such_package.inner"), "extra": "celeriac[email]"}
)


class Other(JobFamily):
    name = "other"
    summary = "Nothing"

    def __init__(self, host: Host) -> None:
        pass


FAXES = """
from celeriac.family import JobFamily


class Family(JobFamily):
    name = "faxes"
    summary = "Sends faxes"

    def __init__(self, host):
        {init}

    def router(self, **options):
        {router}
        return None
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have these classes be the families of the installation, each under the name of its entry point."""

    def install(**kinds: Any) -> None:
        entries = [EntryPoint(name, f"somewhere:{name}", discovery.GROUP) for name in kinds]
        monkeypatch.setattr(discovery, "entry_points", lambda group: entries)
        monkeypatch.setattr(EntryPoint, "load", lambda entry: kinds[entry.name])
        monkeypatch.setattr(discovery, "found", found.__wrapped__)

    return install


def test_bulk_mail_is_there() -> None:
    guest = next(guest for guest in guests(Settings()) if guest.name == "email")
    assert (guest.name, guest.kind, guest.presence, guest.absence) == ("email", EmailFamily, Presence.ON, "")


def test_a_family_is_switched_off_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_FAMILIES_OFF", "email")
    settings = Settings()
    guest = next(guest for guest in guests(settings) if guest.name == "email")
    assert (guest.presence, guest.absence) == (
        Presence.OFF,
        "the job family 'email' is switched off: take it out of CELERIAC_FAMILIES_OFF",
    )
    app = Celeriac("off", settings=settings)
    host_families(app)
    assert "email" not in app.families
    assert not any("email" in name for name in app.specs)


def test_a_family_that_does_not_exist_cannot_be_switched_off() -> None:
    with pytest.raises(ConfigurationError, match=r"CELERIAC_FAMILIES_OFF=email,mail: there is no family mail; .*email"):
        guests(Settings(families_off=("email", "mail")))


def test_a_family_without_what_it_needs_is_missing(installed: Callable[..., None]) -> None:
    installed(email=NeedsMore)
    (guest,) = guests(Settings())
    assert (guest.presence, guest.absence) == (
        Presence.MISSING,
        "the job family 'email' is not installed: pip install 'celeriac[email]'",
    )


def test_an_absent_family_is_explained_where_somebody_asks_for_it(installed: Callable[..., None]) -> None:
    installed(email=NeedsMore)
    settings = Settings()
    app = Celeriac("lean", settings=settings)
    builtin.register(app)
    host_families(app)
    api = FastAPI()
    include(api, app)
    client = local_client(api)
    for answer in (client.post("/email/mailings", json={}), client.get("/email"), client.get("/email/mailings/x")):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:celeriac:problem:family-absent"
        assert "pip install 'celeriac[email]'" in answer.json()["detail"]
    assert not any(path.startswith("/email") for path in api.openapi()["paths"])


def test_an_absent_family_is_explained_to_nobody_without_a_key(installed: Callable[..., None]) -> None:
    installed(email=NeedsMore)
    settings = Settings(api_keys=(SecretStr("ci:0123456789abcdef"),))
    app = Celeriac("guarded", settings=settings)
    host_families(app)
    api = FastAPI()
    include(api, app)
    client = TestClient(api)
    assert client.get("/email/mailings/x").status_code == 401
    known = client.get("/email/mailings/x", headers={"Authorization": "Bearer 0123456789abcdef"})
    assert (known.status_code, known.json()["type"]) == (404, "urn:celeriac:problem:family-absent")


def test_families_share_one_database(installed: Callable[..., None], tmp_path: Path) -> None:
    class Keeping(Other):
        def __init__(self, host: Host) -> None:
            self.database = host.database

    another = type("Another", (Keeping,), {"name": "another"})
    installed(another=another, other=Keeping)
    settings = Settings(data_dir=tmp_path)
    app = Celeriac("shared", settings=settings)
    host_families(app)
    one, two = app.families.values()
    assert one.database is two.database  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"other": object()}, "is not a class that inherits from celeriac.family.JobFamily"),
        ({"other": type("Unfinished", (JobFamily,), {"name": "other", "summary": ""})}, "does not define __init__"),
        ({"other": type("Nameless", (JobFamily,), {"summary": ""})}, "has no name"),
        ({"another": Other}, "has the name 'other': use the name of its entry point"),
        ({"jobs": type("Taken", (Other,), {"name": "jobs"})}, "has the name 'jobs'"),
        ({"worker": type("Taken", (Other,), {"name": "worker"})}, "has the name 'worker'"),
        ({"my-own": type("Dashed", (Other,), {"name": "my-own"})}, "has the name 'my-own'"),
        ({"one": type("One", (Other,), {"name": "one", "command": "jobs"})}, "has the command 'jobs'"),
        ({"one": type("One", (Other,), {"name": "one", "command": "o/e"})}, "has the command 'o/e'"),
        ({"one": type("One", (Other,), {"name": "one", "command": "email"})}, "another has the command 'email'"),
        ({"Other": type("Loud", (Other,), {"name": "Other"})}, "has the name 'Other'"),
    ],
)
def test_a_broken_family_is_listed_with_what_is_wrong_and_keeps_no_other_away(
    installed: Callable[..., None], kinds: dict[str, Any], message: str
) -> None:
    installed(**kinds, email=EmailFamily)
    listed = {guest.name: guest for guest in guests(Settings())}
    (name,) = kinds
    assert (listed[name].presence, listed["email"].presence) == (Presence.BROKEN, Presence.ON)
    assert message in listed[name].absence


def test_of_two_families_with_one_name_neither_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "entry_points", lambda group: [EntryPoint("email", "a:B", group)] * 2)
    assert found.__wrapped__() == {"email": "the job family 'email' is broken: two packages define it"}


def test_a_broken_family_can_be_switched_off(install_guest: Callable[[str, str], None]) -> None:
    install_guest("faxes", "raise ImportError('no modem')")
    listed = {guest.name: guest.presence for guest in guests(Settings(families_off=("faxes",)))}
    assert listed == {
        "cleanup": Presence.ON,
        "email": Presence.ON,
        "media": Presence.ON,
        "reports": Presence.ON,
        "sync": Presence.ON,
        "webhooks": Presence.ON,
        "faxes": Presence.OFF,
    }


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ImportError('no modem')", "cannot be imported: ImportError: no modem"),
        ("import sys; sys.exit('no modem')", "cannot be imported: SystemExit: no modem"),
        (FAXES.format(init="raise OSError('no modem')", router=""), "__init__() raised OSError: no modem"),
        (FAXES.format(init="pass", router="raise OSError('no modem')"), "router() raised OSError: no modem"),
    ],
    ids=["import", "exit", "init", "router"],
)
def test_the_api_serves_what_is_there_and_says_what_is_wrong_with_a_broken_family(
    install_guest: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    source: str,
    told: str,
) -> None:
    install_guest("faxes", source)
    api = create_api(Settings(data_dir=tmp_path))
    client = local_client(api)
    answer = client.post("/faxes/anything")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:celeriac:problem:family-absent")
    assert told in answer.json()["detail"]
    assert client.delete("/email/mailings").status_code == 405  # of an absent family it would be 404
    said_where_it_fails = "cannot be imported" not in told  # `celeriac` itself warns of the others, once for all parts
    assert capsys.readouterr().err.count("the job family 'faxes'") == said_where_it_fails


def test_the_house_does_not_know_its_guests() -> None:
    for place in HOUSE:
        path = ROOT / "src" / "celeriac" / place
        for file in [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.lua")]:
            assert not re.search("mail", file.read_text(), re.IGNORECASE), f"{file} knows of mail"
