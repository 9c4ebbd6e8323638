import pytest

from celeriac.core.errors import CommandLineWrong
from celeriac.launch.worker.worker_options import check, hostname, is_prefork, value_of


@pytest.mark.parametrize(
    "options",
    [["-n", "one@%h"], ["-none@%h"], ["--hostname", "one@%h"], ["--hostname=one@%h"], ["-n", "two", "-n", "one@%h"]],
    ids=" ".join,
)
def test_a_value_is_found_however_it_is_written(options: list[str]) -> None:
    assert value_of(["-Q", "mail", *options, "--loglevel=debug"], "--hostname", "-n") == "one@%h"


def test_an_option_that_is_not_given_has_no_value() -> None:
    assert value_of([], "--pool", "-P") is None
    assert value_of(["--pool-start-method=fork", "--pool"], "--pool", "-P") is None


def test_shards_are_numbered_and_a_lone_one_keeps_its_name() -> None:
    assert hostname([], 1, 1) == ()
    assert hostname(["-n", "mail@%h"], 1, 1) == ()
    assert hostname([], 2, 3) == ("--hostname", "celery-2@%h")
    assert hostname(["-n", "mail@%d"], 2, 3) == ("--hostname", "mail-2@%d")
    assert hostname(["-n", "mail"], 2, 3) == ("--hostname", "mail-2@%h")


@pytest.mark.parametrize("options", [["--pool=prefork"], ["-P", "processes"], ["-Pprefork"]], ids=" ".join)
def test_a_pool_of_processes_is_recognised(options: list[str]) -> None:
    assert is_prefork(options)
    assert not is_prefork(["-P", "threads"])


@pytest.mark.parametrize("options", [["-B"], ["-BE"], ["-EB"], ["--beat"], ["-D"], ["--detach"], ["--discard"]])
def test_what_cannot_be_started_again_is_refused(options: list[str]) -> None:
    with pytest.raises(CommandLineWrong, match=" cannot be used here: "):
        check(["-Q", "mail", *options], 1)


def test_each_shard_needs_files_of_its_own() -> None:
    check(["--pidfile", "worker.pid"], 1)
    check(["--pidfile", "%n.pid", "-S", "%n.state"], 2)
    with pytest.raises(CommandLineWrong, match="--statedb state: each of 2 shards"):
        check(["-S", "state"], 2)


def test_the_rest_is_celerys_business() -> None:
    check(["-E", "-Q", "BD", "-O", "fair", "--loglevel", "DEBUG", "-lDEBUG"], 2)
