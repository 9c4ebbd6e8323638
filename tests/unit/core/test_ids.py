"""Which strings may be job ids: those that are safe in a Redis key, a URL and a log line."""

from uuid import UUID

import pytest

from celeriac.core.ids import is_valid_id, new_id, new_ids


@pytest.mark.parametrize("value", ["a", "0", "order-17", "a.b:c_d-e", "A" * 128, "..".join("ab"), str(UUID(int=7))])
def test_ids_that_a_caller_may_choose(value: str) -> None:
    assert is_valid_id(value)


@pytest.mark.parametrize(
    "value",
    [
        *["", "A" * 129, ".", "..", "../jobs", "a/../b", "a/b", "a\\b", "%2e%2e", "-a", "_a", ":a", ".a"],
        *["a\n", "\na", "a\r", "a\0", "a b", " a", "a ", "a*", "a?x=1", "a#b", "a{b}", "a'", 'a"', "a\x1b[31m"],
        *["٣", "a٣", "１", "é", "aé", "а", "a\u200b", "a\ud800", "K\u212a"],  # noqa: RUF001 (look-alikes are the point)
    ],
)
def test_ids_that_are_refused(value: str) -> None:
    assert not is_valid_id(value)


def test_a_new_id_is_a_random_uuid_that_is_valid_itself() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_valid_id(job_id) and UUID(job_id).version == 4 and str(UUID(job_id)) == job_id for job_id in ids)


def test_many_new_ids_are_as_many_random_uuids_with_every_variant_there_is() -> None:
    ids = new_ids(1000)
    assert len(set(ids)) == 1000
    assert all(UUID(job_id).version == 4 and str(UUID(job_id)) == job_id for job_id in ids)
    assert {job_id[19] for job_id in ids} == set("89ab")  # RFC 9562: the two highest bits are 10
    assert new_ids(0) == []
