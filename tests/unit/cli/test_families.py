"""What the command line says of families that are absent."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from celeriac.cli import ExitCode, main

Run = Callable[..., tuple[int, str, str]]

NEEDY = """
from celeriac.family import JobFamily


class Family(JobFamily):
    name = "faxes"
    summary = "Sends faxes"
    extra = "celeriac-faxes[modem]"
    requires = ("no_such_package",)

    def __init__(self, host): ...
"""
NO_COMMANDS = (
    NEEDY.replace("no_such_package", "json")
    + """
    @classmethod
    def commands(cls):
        raise OSError("no modem")
"""
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `celeriac ARGUMENTS`; returns exit code, stdout and stderr."""

    def run_one(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["celeriac", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run_one


def test_a_broken_family_is_listed_and_told_in_one_line(run: Run, install_guest: Callable[[str, str], None]) -> None:
    install_guest("faxes", "raise ImportError('no modem')")
    told = "the job family 'faxes' (guest_faxes:Family) is broken: it cannot be imported: ImportError: no modem"
    code, printed, errors = run("families", "--json")
    assert (code, errors) == (0, f"celeriac: warning: {told}\n")
    states = {family["family"]: family["state"] for family in json.loads(printed)}
    on = dict.fromkeys(("cleanup", "email", "media", "reports", "sync", "webhooks"), "on")
    assert states == {**on, "faxes": "broken"}
    code, _, errors = run("faxes", "send", "--to", "ada")
    assert (code, errors) == (ExitCode.USAGE, f"celeriac: error: {told}\n")


def test_a_family_without_its_extra_says_what_to_install(run: Run, install_guest: Callable[[str, str], None]) -> None:
    install_guest("faxes", NEEDY)
    code, _, errors = run("faxes", "send")
    assert (code, errors) == (
        ExitCode.NOT_INSTALLED,
        "celeriac: error: the job family 'faxes' is not installed: pip install 'celeriac-faxes[modem]'\n",
    )
    assert run("families")[2] == "", "a family that is not installed is nothing to warn of"


def test_a_family_whose_commands_are_broken_leaves_the_others(
    run: Run, install_guest: Callable[[str, str], None]
) -> None:
    install_guest("faxes", NO_COMMANDS)
    code, printed, errors = run("--help")
    assert code == 0 and "doctor" in printed
    assert errors == "celeriac: warning: the job family 'faxes' is broken: commands() raised OSError: no modem\n"
    code, _, errors = run("faxes")
    assert (code, errors.splitlines()[-1]) == (
        ExitCode.USAGE,
        "celeriac: error: the job family 'faxes' is broken: commands() raised OSError: no modem",
    )


def test_help_is_there_when_a_setting_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_PORT", "many")
    code, printed, errors = run("--help")
    assert (code, errors) == (0, "")
    assert "doctor" in printed


@pytest.mark.parametrize("family", ["cleanup", "sync", "email"])
@pytest.mark.parametrize(
    ("setting", "value"), [("CELERIAC_BROKER_URL", "foo://bar"), ("CELERIAC_FAMILIES_OFF", "faxes")]
)
def test_the_commands_of_families_name_a_setting_that_is_wrong(
    run: Run, monkeypatch: pytest.MonkeyPatch, family: str, setting: str, value: str
) -> None:
    monkeypatch.setenv(setting, value)
    monkeypatch.delitem(sys.modules, "celeriac.worker", raising=False)  # it reads them when imported
    code, _, errors = run(family, "list")
    assert (code, errors.count("\n")) == (ExitCode.CONFIGURATION, 1)
    assert errors.startswith(f"celeriac: error: {setting}=")
    assert run(family, "--help")[0] == 0


def test_the_help_of_a_family_lists_only_what_is_of_use(run: Run) -> None:
    _, printed, _ = run("email", "--help")
    assert "recipients" in printed and "completion" not in printed
