"""Priorities, and the lists that kombu keeps for them."""

from typing import Any

import pytest
from kombu import Connection
from kombu.transport import redis as kombu_redis

from celeriac.core.routing import Routing, check_priority, from_celery, to_celery


def kombus_list(celery_priority: int, **options: Any) -> str:
    """The list that kombu itself chooses, with these of its transport's options."""
    channel = kombu_redis.Channel.__new__(kombu_redis.Channel)  # connected to nothing
    for name, value in options.items():
        setattr(channel, name, value)
    return channel._q_for_pri("mail", celery_priority)


@pytest.mark.parametrize("celery_priority", range(10))
@pytest.mark.parametrize("steps", [(0, 3, 6, 9), (0, 5), tuple(range(10))])
@pytest.mark.parametrize("separator", ["\x06\x16", ":"])
def test_a_message_goes_to_the_list_that_kombu_chooses(
    celery_priority: int, steps: tuple[int, ...], separator: str
) -> None:
    routing = Routing(steps=steps, separator=separator)
    kombus = kombus_list(celery_priority, priority_steps=list(steps), sep=separator)
    assert routing.list_key("mail", celery_priority) == kombus


@pytest.mark.parametrize("celery_priority", range(10))
def test_the_defaults_are_kombus(celery_priority: int) -> None:
    assert Routing().list_key("mail", celery_priority) == kombus_list(celery_priority)


def test_higher_priorities_are_in_lists_that_are_served_no_later() -> None:
    lists = [Routing().list_key("mail", to_celery(priority)) for priority in range(9, -1, -1)]
    served = [Routing().list_key("mail", step) for step in Routing().steps]
    assert [served.index(key) for key in lists] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_a_job_without_priority_goes_where_a_message_without_one_goes() -> None:
    with Connection("memory://") as connection:
        stock = connection.default_channel._get_message_priority({"properties": {}})
    assert Routing().default_priority == stock
    assert Routing().list_key("mail", Routing().default_priority) == "mail"


@pytest.mark.parametrize("priority", range(10))
def test_celerys_numbers_are_ours_counted_from_the_other_end(priority: int) -> None:
    assert from_celery(to_celery(priority)) == priority
    assert to_celery(priority) + priority == 9


@pytest.mark.parametrize(("celerys", "ours"), [(-3, 9), (255, 0)])
def test_celerys_numbers_beyond_the_ends_count_as_the_ends(celerys: int, ours: int) -> None:
    assert from_celery(celerys) == ours


@pytest.mark.parametrize("priority", [0, 9])
def test_priorities_that_there_are(priority: int) -> None:
    check_priority(priority)


@pytest.mark.parametrize("priority", [-1, 10, 2.5, "5", True])
def test_priorities_that_there_are_not(priority: Any) -> None:
    with pytest.raises(ValueError, match="give a whole number from 0 to 9; higher runs first"):
        check_priority(priority)
