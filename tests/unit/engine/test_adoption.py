"""The settings for applications of stock Celery: what they are made of, and what is refused."""

from __future__ import annotations

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten

from celeriac import ConfigurationError, Settings, celery_settings
from celeriac.engine.adoption import broker_url_of

URL = "redis://:secret@broker:6379/0"


def test_results_are_kept_on_the_broker_unless_another_server_is_named() -> None:
    assert celery_settings(URL)["result_backend"].endswith(f"+{URL}")
    assert celery_settings(URL, "redis://results:6379/1")["result_backend"].endswith("+redis://results:6379/1")


def test_every_name_is_one_that_celery_knows() -> None:
    known = {name for name, _ in flatten(NAMESPACES)} | {"result_backend_thread_safe"}  # documented, without a default
    assert set(celery_settings(URL)) <= known


def test_the_lease_is_that_of_our_own_applications() -> None:
    assert celery_settings(URL)["broker_transport_options"]["lease"] == Settings().lease
    assert celery_settings(URL, lease=60)["broker_transport_options"]["lease"] == 60


@pytest.mark.parametrize("lease", [1.9, 3601, float("nan"), True, "15"])
def test_a_lease_that_cannot_be_is_refused(lease: object) -> None:
    with pytest.raises(ConfigurationError, match=r"lease=.*: give seconds from 2 to 3600"):
        celery_settings(URL, lease=lease)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "what_to_do"),
    [
        ("amqp://:secret@broker//", "starts with redis:// or rediss://"),
        ("sentinel://:secret@broker:26379", "starts with redis:// or rediss://"),
        ("redis+socket:///run/secret.sock", "starts with redis:// or rediss://"),
        (f"{URL};redis://other:6379/0", "give one URL"),
        ("rediss://:secret@broker:6379/0", r"add \?ssl_cert_reqs=required"),
    ],
)
@pytest.mark.parametrize("name", ["broker_url", "result_url"])
def test_an_url_that_settings_alone_cannot_serve_is_refused_and_not_shown(name: str, url: str, what_to_do: str) -> None:
    with pytest.raises(ConfigurationError, match=what_to_do) as refused:
        celery_settings(**{"broker_url": URL, "result_url": URL} | {name: url})
    assert str(refused.value).startswith(name)
    assert "secret" not in str(refused.value)


def test_tls_is_what_the_url_says() -> None:
    url = "rediss://broker:6380/0?ssl_cert_reqs=required"
    with Celery(set_as_current=False, config_source=celery_settings(url)) as app, app.connection_for_read() as read:
        assert read.ssl
        assert read.transport_cls == "celeriac.engine.transport:Transport"


def test_the_broker_of_an_application_is_found_wherever_it_was_named() -> None:
    with Celery(broker=URL, set_as_current=False) as app:
        assert broker_url_of(app) == URL
    with Celery(broker="amqp://broker//", set_as_current=False) as app:
        assert broker_url_of(app) is None
    assert broker_url_of(object()) is None
