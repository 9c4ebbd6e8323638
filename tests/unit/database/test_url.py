"""What is accepted as a database URL."""

import pytest

from celeriac.core.errors import ConfigurationError
from celeriac.database import url as url_module
from celeriac.database.url import parse_database_url, shown


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:///jobs.db", "sqlite+pysqlite"),
        ("sqlite+aiosqlite:////srv/jobs.db", "sqlite+pysqlite"),
        ("postgres://app@db/jobs", "postgresql+asyncpg"),
        ("postgresql://app@db/jobs", "postgresql+asyncpg"),
        ("postgresql+asyncpg://app@db/jobs", "postgresql+asyncpg"),
    ],
)
def test_each_accepted_form_means_one_driver(text: str, driver: str) -> None:
    assert parse_database_url(text).drivername == driver


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mysql://app:geheim@db/jobs", "starts with mysql://"),
        ("postgresql+psycopg://app:geheim@db/jobs", r"starts with postgresql\+psycopg://"),
        ("postgresql://app:geheim@db", "names no database"),
        ("postgresql://app:geheim@db:port/jobs", "cannot be read"),
        ("geheim", "cannot be read"),
        ("", "cannot be read"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_anything_else_is_refused_with_what_to_change_and_without_the_password(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        parse_database_url(text)
    assert "geheim" not in str(caught.value)


def test_a_missing_driver_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_module, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'celeriac\[postgres\]'"):
        parse_database_url("postgresql://app@db/jobs")


def test_the_password_is_masked_where_the_url_is_shown() -> None:
    assert shown(parse_database_url("postgresql://app:geheim@db/jobs")) == "postgresql+asyncpg://app:***@db/jobs"


@pytest.mark.parametrize("text", ["mysql://app@db/shop", "mysql+pymysql://app@db/shop", "mariadb://app@db/shop"])
def test_a_database_of_others_may_be_mysql(text: str) -> None:
    assert parse_database_url(text, is_ours=False).drivername.endswith("+pymysql")


def test_a_database_of_others_that_has_no_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"names no database; expected .* or mysql://"):
        parse_database_url("mysql://app:geheim@db", is_ours=False)
