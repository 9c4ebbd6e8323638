"""Settings: what is wrong is named with its value, and no secret is ever shown."""

import json
import re
from pathlib import Path
from typing import Self

import pytest
from pydantic import SecretStr, ValidationError, model_validator

from celeriac import ConfigurationError, Settings, load_settings
from celeriac.settings import DEFAULT_BROKER_URL, FamilySettings, is_loopback, read

SECRET = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(port, value) for port in ("port", "flower_port") for value in ("-1", "65536", "http", "80.5")],
        *[("worker_concurrency", value) for value in ("0", "10001", "many")],
        *[("lease", value) for value in ("1.9", "3601", "nan", "inf", "soon")],
        *[("retention", value) for value in ("59", "nan", "inf", "-inf", "a week")],
        *[("broker_timeout", value) for value in ("0", "-1", "61", "nan", "inf")],
        *[("request_timeout", value) for value in ("0", "-1", "3601", "nan", "inf", "soon")],
        *[(size, value) for size in ("max_body_bytes", "max_upload_bytes") for value in ("0", "1023", "1MB")],
    ],
)
def test_a_wrong_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CELERIAC_{name.upper()}", value)
    with pytest.raises(ConfigurationError, match=rf"^CELERIAC_{name.upper()}={value}: [^;]+$"):
        load_settings()


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"CELERIAC_PORT=x: .*; CELERIAC_LEASE=0: "):
        load_settings(port="x", lease=0)


WRONG_SECRETS = [
    ("broker_url", f"http://:{SECRET}@host", "expected a URL that starts with one of redis, rediss"),
    ("broker_url", f"unix://:{SECRET}@/run/valkey.sock", "one of redis, rediss, redis+socket"),
    ("broker_url", f"redis://:{SECRET}@host:port", "the port must be a number"),
    ("result_url", f"amqp://u:{SECRET}@host", "expected a URL that starts with one of redis, rediss"),
    ("storage_url", f"ftp://u:{SECRET}@host/x", "expected file:///folder, s3://bucket"),
    ("storage_url", f"memory:///{SECRET}", "each process has a memory of its own; expected a folder"),
    ("flower_auth", SECRET, "expected `user:password`"),
    ("flower_auth", f":{SECRET}", "expected `user:password`"),
    ("api_keys", SECRET, "each key is `name:secret`"),
    ("api_keys", f":{SECRET}", "each key is `name:secret`"),
    ("api_keys", f"ci:{SECRET},ops:{SECRET[:15]}", "a secret of at least 16 characters"),
    ("api_keys", f"ci:{SECRET},ops:{SECRET},ci:{SECRET}2", "used twice: ci"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG_SECRETS)
def test_a_wrong_secret_is_named_and_masked(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**{name: value})
    assert str(caught.value).startswith(f"CELERIAC_{name.upper()}=***: ")
    assert message in str(caught.value)
    assert SECRET[:15] not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(("name", "value", "message"), WRONG_SECRETS)
def test_a_wrong_secret_is_not_shown_either_where_settings_are_made_in_code(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)) as caught:
        Settings(**{name: value})  # type: ignore[arg-type]
    assert SECRET[:15] not in str(caught.value)


def test_no_secret_is_in_a_repr() -> None:
    settings = load_settings(
        broker_url=f"redis://:{SECRET}@host/0",
        result_url=f"rediss://:{SECRET}@host/1",
        database_url=f"postgresql+asyncpg://u:{SECRET}@host/db",
        flower_auth=f"u:{SECRET}",
        api_keys=f"ci:{SECRET}",
    )
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("", {}),
        (f"ci:{SECRET}", {"ci": SECRET}),
        (f" ci:{SECRET} ,, ops:{SECRET}2,", {"ci": SECRET, "ops": SECRET + "2"}),
        (f"ci:{SECRET}:with:colons", {"ci": f"{SECRET}:with:colons"}),
    ],
)
def test_api_keys_are_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, keys: dict[str, str]
) -> None:
    monkeypatch.setenv("CELERIAC_API_KEYS", value)
    assert load_settings().named_api_keys() == keys


def test_api_keys_may_be_given_in_code() -> None:
    assert Settings(api_keys=(SecretStr(f"ci:{SECRET}"),)).named_api_keys() == {"ci": SECRET}


def test_what_is_given_goes_before_the_environment_and_what_is_none_or_empty_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELERIAC_PORT", "1234")
    monkeypatch.setenv("CELERIAC_LEASE", "")
    assert load_settings(port=4321).port == 4321
    assert load_settings(port=None).port == 1234
    assert load_settings().lease == 15


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_the_broker_is_the_configured_one_else_the_embedded_one_else_celerys(tmp_path: Path) -> None:
    unset, configured = Settings(data_dir=tmp_path), Settings(data_dir=tmp_path, broker_url=SecretStr("redis://set/1"))
    assert unset.broker() == DEFAULT_BROKER_URL
    (tmp_path / "broker.json").write_text(json.dumps({"url": "redis://:x@127.0.0.1:5/0"}))
    assert unset.broker() == "redis://:x@127.0.0.1:5/0"
    assert configured.broker() == "redis://set/1"


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null", '"url"', "3"])
def test_an_address_file_that_cannot_be_read_counts_as_absent(tmp_path: Path, content: str) -> None:
    (tmp_path / "broker.json").write_text(content)
    assert Settings(data_dir=tmp_path).broker() == DEFAULT_BROKER_URL


def test_results_are_on_the_broker_unless_they_have_a_place_of_their_own() -> None:
    assert load_settings(broker_url="redis://a").results() == "redis://a"
    assert load_settings(broker_url="redis://a", result_url="redis://b").results() == "redis://b"


def test_the_database_is_a_file_of_the_data_directory_unless_it_is_set(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).database() == f"sqlite:///{tmp_path}/celeriac.db"
    assert load_settings(database_url="postgresql+asyncpg://h/db").database() == "postgresql+asyncpg://h/db"


HOSTS = {
    **dict.fromkeys(("localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1"), True),
    **dict.fromkeys(("0.0.0.0", "::", "192.168.0.7", "example.org", "127.0.0.1.example.org", "127.1", ""), False),
}


@pytest.mark.parametrize(("host", "local"), HOSTS.items())
def test_listening_off_loopback_needs_api_keys(host: str, local: bool) -> None:
    assert is_loopback(host) is local
    Settings(host=host, api_keys=(SecretStr(f"ci:{SECRET}"),)).check_exposure()
    if local:
        Settings(host=host).check_exposure()
    else:
        with pytest.raises(ConfigurationError, match=f"CELERIAC_HOST={host} .*set CELERIAC_API_KEYS=name:secret"):
            Settings(host=host).check_exposure()


def test_settings_that_are_wrong_together_are_told_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(FamilySettings):
        password: SecretStr = SecretStr("")

        @model_validator(mode="after")
        def _fit(self) -> Self:
            raise ValueError("password and user do not fit")

    monkeypatch.setenv("CELERIAC_PASSWORD", SECRET)
    with pytest.raises(ConfigurationError, match=r"^settings: password and user do not fit$"):
        read(Own)


def test_a_variable_is_read_in_any_case_and_an_empty_one_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("celeriac_port", "8123")
    monkeypatch.setenv("CELERIAC_LEASE", "")
    assert (load_settings().port, load_settings().lease) == (8123, Settings.model_fields["lease"].default)
