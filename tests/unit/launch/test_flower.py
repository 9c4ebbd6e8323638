import os
from pathlib import Path
from typing import Any

import pytest
from tornado.options import OptionParser

from celeriac.core.errors import ConfigurationError
from celeriac.launch.programs.flower import flower_options
from celeriac.settings import Settings

KEY = "ci:0123456789abcdef"
OTHER_KEY = "ops:fedcba9876543210"
CONFIGURATION = Path(__file__).parents[3] / "flowerconfig.py"


def _settings(**values: Any) -> Settings:
    return Settings(**values)


def test_on_loopback_flower_is_open_unless_a_password_is_set() -> None:
    assert flower_options(_settings()).basic_auth == ()
    assert flower_options(_settings(flower_auth="ann:secret")).basic_auth == ("ann:secret",)


def test_off_loopback_the_api_keys_open_it() -> None:
    options = flower_options(_settings(host="0.0.0.0", api_keys=f"{KEY},{OTHER_KEY}"))
    assert options.basic_auth == (KEY, OTHER_KEY)
    assert options.environment() == {"FLOWER_BASIC_AUTH": f"{KEY},{OTHER_KEY}"}


def test_its_own_password_replaces_the_api_keys() -> None:
    options = flower_options(_settings(host="0.0.0.0", api_keys=KEY, flower_auth="ann:secret"))
    assert options.basic_auth == ("ann:secret",)


def test_it_is_never_open_to_other_machines_without_a_password() -> None:
    with pytest.raises(ConfigurationError, match=r"CELERIAC_HOST=0\.0\.0\.0.*CELERIAC_FLOWER_AUTH"):
        flower_options(_settings(host="0.0.0.0"))


def test_a_password_given_to_flower_itself_is_enough() -> None:
    assert flower_options(_settings(host="0.0.0.0"), basic_auth=["ann:secret"]).basic_auth == ("ann:secret",)


def test_a_comma_would_make_two_passwords_of_one() -> None:
    with pytest.raises(ConfigurationError, match="comma") as refused:
        flower_options(_settings(flower_auth="ann:sec,ret"))
    assert "sec" not in str(refused.value).replace("CELERIAC", "")


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(flower_options(_settings(flower_auth="ann:secret")))


def _configured(monkeypatch: pytest.MonkeyPatch, *, given: dict[str, Any] | None = None, **variables: str) -> Any:
    """Flower's options after it has read the configuration file, as it does: environment, file."""
    for name in [name for name in os.environ if name.startswith("CELERIAC_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = OptionParser()
    options.define("address", default="", type=str)
    options.define("port", default=5555, type=int)
    options.define("basic_auth", default=None, type=str, multiple=True)
    for name, value in (given or {}).items():
        setattr(options, name, value)
    monkeypatch.setattr("tornado.options.options", options)
    options.parse_config_file(str(CONFIGURATION))
    return options


def test_the_configuration_file_binds_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    options = _configured(monkeypatch)
    assert (options.address, options.port, options.basic_auth) == ("127.0.0.1", 5555, [])


def test_the_configuration_file_follows_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    options = _configured(
        monkeypatch, CELERIAC_HOST="0.0.0.0", CELERIAC_FLOWER_PORT="6666", CELERIAC_FLOWER_AUTH="ann:secret"
    )
    assert (options.address, options.port, options.basic_auth) == ("0.0.0.0", 6666, ["ann:secret"])


def test_options_given_to_flower_win(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"address": "127.0.0.2", "port": 7777, "basic_auth": ["eve:secret"]}
    options = _configured(monkeypatch, given=given, CELERIAC_FLOWER_PORT="6666", CELERIAC_FLOWER_AUTH="ann:secret")
    assert (options.address, options.port, options.basic_auth) == ("127.0.0.2", 7777, ["eve:secret"])


@pytest.mark.parametrize("given", [{"address": "0.0.0.0"}, {}])
def test_the_configuration_file_refuses_exposure_in_one_line(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    variables = {} if given else {"CELERIAC_HOST": "0.0.0.0"}
    with pytest.raises(SystemExit, match=r"celeriac: error: CELERIAC_HOST=0\.0\.0\.0"):
        _configured(monkeypatch, given=given, **variables)
