"""An application of a user's hosts job families."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from celeriac import Celeriac, ConfigurationError, Settings
from celeriac.core.errors import FamilyAbsent
from celeriac.families.email import EmailFamily, EmailSettings
from celeriac.family import Host, JobFamily


class Faxes(JobFamily):
    name = "faxes"
    summary = "Sends faxes"
    requires = ("no_such_package",)
    extra = "faxes[modem]"

    def __init__(self, host: Host) -> None:
        raise AssertionError("what it needs is missing")


class Letters(JobFamily):
    name = "letters"
    summary = "Writes letters"
    shortcuts: ClassVar[Mapping[str, str]] = {"letter": "add"}

    def __init__(self, host: Host) -> None:
        self.added: list[object] = []

    def add(self, function: object) -> object:
        self.added.append(function)
        return function


@pytest.fixture
def shop(tmp_path: Path) -> Celeriac:
    return Celeriac("shop", settings=Settings(data_dir=tmp_path))


def test_an_application_has_the_jobs_and_routes_of_a_family_that_it_includes(shop: Celeriac) -> None:
    email = shop.include_family(EmailFamily)
    assert shop.family(EmailFamily) is email
    assert {"celeriac.email.mailing", "celeriac.email.chunk"} <= shop.specs.keys()
    assert "/mailings" in {route.path for route in email.router().routes}  # type: ignore[attr-defined]


def test_a_family_is_given_settings_of_its_own(shop: Celeriac) -> None:
    own = EmailSettings(mail_from="shop@example.com")
    assert shop.include_family(EmailFamily, own).settings is own


def test_an_application_without_a_family_says_how_to_include_it(shop: Celeriac) -> None:
    with pytest.raises(FamilyAbsent, match=r"does not have the job family 'email': call app.include_family\(EmailF"):
        shop.family(EmailFamily)


def test_an_application_offers_what_a_family_has_a_shortcut_for(shop: Celeriac) -> None:
    letters = shop.include_family(Letters)

    @cast(Any, shop).letter
    def thanks() -> str:
        return "thank you"

    assert letters.added == [thanks]
    assert thanks() == "thank you"


def test_a_shortcut_that_is_taken_is_refused(shop: Celeriac) -> None:
    class Post(Letters):
        name = "post"

    class Jobs(Letters):
        name = "jobs"
        shortcuts: ClassVar[Mapping[str, str]] = {"job": "add"}

    shop.include_family(Letters)
    for kind, taken in ((Post, "letter"), (Jobs, "job")):
        with pytest.raises(ConfigurationError, match=f"offers '{taken}', which the application has"):
            shop.include_family(kind)


def test_an_attribute_that_nobody_offers_is_told_with_the_way_to_get_it(shop: Celeriac) -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'letter'.*app.include_family\(...\) adds one") as caught:
        cast(Any, shop).letter(print)
    assert caught.value.name == "letter"
    assert not hasattr(shop, "fax")


def test_a_family_is_included_once(shop: Celeriac) -> None:
    shop.include_family(EmailFamily)
    with pytest.raises(ConfigurationError, match="'email' has been included in this application before"):
        shop.include_family(EmailFamily)


def test_a_family_without_its_extra_cannot_be_included(shop: Celeriac) -> None:
    with pytest.raises(ConfigurationError, match=r"'faxes' is not installed: pip install 'faxes\[modem\]'"):
        shop.include_family(Faxes)


def test_a_family_that_is_switched_off_cannot_be_included(tmp_path: Path) -> None:
    shop = Celeriac("shop", settings=Settings(data_dir=tmp_path, families_off=("email",)))
    with pytest.raises(ConfigurationError, match="'email' is switched off: take it out of CELERIAC_FAMILIES_OFF"):
        shop.include_family(EmailFamily)


def test_a_wrong_setting_of_a_family_stops_the_start(shop: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_SMTP_URL", "http://mail")
    with pytest.raises(ConfigurationError, match="CELERIAC_SMTP_URL"):
        shop.include_family(EmailFamily)
