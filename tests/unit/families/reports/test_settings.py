"""Settings of reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from celeriac.core.errors import ConfigurationError
from celeriac.families.reports import ReportsSettings
from celeriac.families.reports.reading import connections
from celeriac.settings import read

SECRET = "0123456789abcdef"
SHOP = f"postgresql://reader:{SECRET}@host/shop?a=b,c"


@pytest.mark.parametrize(
    "text", [f"shop={SHOP} archive=sqlite:///a.db", f'{{"shop": "{SHOP}", "archive": "sqlite:///a.db"}}']
)
def test_connections_have_names(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CELERIAC_REPORTS_CONNECTIONS", text)
    settings = read(ReportsSettings)
    assert connections(settings) == {"shop": SHOP, "archive": "sqlite:///a.db"}
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CONNECTIONS", f"postgresql://u:{SECRET}@h/d", "=***: expected `name=url` separated by spaces"),
        ("CONNECTIONS", f"shop={SHOP} shop=sqlite:///a", "each with a name of its own"),
        ("CONNECTIONS", f"shop=mysql://u:{SECRET}@h/d", "the URL of shop must begin with sqlite:/// or postgresql://"),
        ("CONNECTIONS", f"shop=postgresql://u:{SECRET}/1@h/d", "the URL of shop has no valid port; percent-encode"),
        ("CONNECTIONS", f'{{"shop": "{SECRET}', "expected `name=url`"),
        ("PASSWORDS", f"board={SECRET}", "board: give the place of the secret, env:VARIABLE or file:PATH"),
        ("PASSWORDS", f"board:{SECRET}", "expected `name=env:VARIABLE or name=file:PATH`"),
        ("QUERIES", "/nowhere", "=/nowhere: there is no such folder"),
        ("LOGO", "/nowhere.png", "there is no such file"),
        ("COLOUR", "blue", "String should match pattern"),
        ("LINK_URL", "shop.example", "expected http"),
        ("MEMORY_MB", "12", "greater than or equal to 256"),
        ("TIMEOUT", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv(f"CELERIAC_REPORTS_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        read(ReportsSettings)
    assert str(caught.value).startswith(f"CELERIAC_REPORTS_{name}=")
    assert message in str(caught.value)
    assert SECRET not in f"{caught.value} {caught.value.__cause__}"


def test_a_connection_may_have_several_hosts_or_a_socket() -> None:
    for url in (f"postgresql://u:{SECRET}@a:5432,b:5433/d", "postgresql://u@/d?host=/run/postgresql", "sqlite:///a.db"):
        assert connections(ReportsSettings(reports_connections={"shop": SecretStr(url)})) == {"shop": url}


def test_a_wrong_variable_is_named_also_where_settings_are_made_in_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_REPORTS_QUERIES", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"^CELERIAC_REPORTS_QUERIES=/nowhere: there is no such folder$"):
        ReportsSettings(reports_link_url="https://shop.example/links")


def test_a_folder_and_a_file_are_taken(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text("<svg/>")
    settings = read(ReportsSettings, reports_queries=tmp_path, reports_logo=logo)
    assert (settings.reports_queries, settings.reports_logo) == (tmp_path, logo)
