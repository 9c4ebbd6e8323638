"""What proves a webhook to be from its sender."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.families.webhooks.errors import (
    SecretInvalid,
    SignatureInvalid,
    SignatureMissing,
    SignatureTooNew,
    SignatureTooOld,
    SignatureWrong,
)
from celeriac.families.webhooks.signing import new_secret, public_key, sign
from celeriac.families.webhooks.verifying import VerifiedEvent, verify

NOW = 1_700_000_000
BODY = b'{"type": "order.paid"}'
OLD, NEW = new_secret(), new_secret()
PRIVATE = new_secret("v1a")


def signed(*secrets: str, at: int = NOW, body: bytes = BODY) -> dict[str, str]:
    return sign("msg_1", at, body, secrets or [OLD])


def test_a_webhook_of_its_sender_is_what_was_sent() -> None:
    assert verify(BODY, signed(), OLD, now=NOW) == VerifiedEvent("msg_1", NOW, BODY)


@pytest.mark.parametrize("known", [[OLD], [NEW], [NEW, OLD], [public_key(PRIVATE)], [public_key(PRIVATE), NEW]])
def test_one_of_several_secrets_and_signatures_is_enough_while_secrets_change(known: list[str]) -> None:
    assert verify(BODY, signed(OLD, NEW, PRIVATE), known, now=NOW).id == "msg_1"


def test_the_case_of_header_names_means_nothing() -> None:
    headers = {name.title(): value for name, value in signed().items()}
    assert verify(BODY, headers, OLD, now=NOW).timestamp == NOW


@pytest.mark.parametrize("difference", [-300, -299, 0, 299, 300])
def test_clocks_may_differ_within_the_tolerance_both_ways(difference: int) -> None:
    assert verify(BODY, signed(), OLD, now=NOW + difference).id == "msg_1"


@pytest.mark.parametrize(("difference", "error"), [(301, SignatureTooOld), (-301, SignatureTooNew)])
def test_clocks_may_not_differ_by_more(difference: int, error: type[SignatureInvalid]) -> None:
    with pytest.raises(error, match="301 s"):
        verify(BODY, signed(), OLD, now=NOW + difference)
    with pytest.raises(error):
        verify(BODY, signed(), OLD, now=NOW + difference / 50, tolerance=5)


def test_without_a_time_it_is_now() -> None:
    with pytest.raises(SignatureTooOld):
        verify(BODY, signed(), OLD)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"webhook-id": None}, SignatureMissing),
        ({"webhook-id": ""}, SignatureMissing),
        ({"webhook-timestamp": None}, SignatureMissing),
        ({"webhook-timestamp": "soon"}, SignatureMissing),
        ({"webhook-timestamp": f"-{NOW}"}, SignatureMissing),
        ({"webhook-timestamp": f"{NOW}.0"}, SignatureMissing),
        ({"webhook-timestamp": "\u0660"}, SignatureMissing),
        ({"webhook-timestamp": "9" * 5000}, SignatureMissing),
        ({"webhook-signature": None}, SignatureMissing),
        ({"webhook-signature": "v1,AAAA " * 1000}, SignatureMissing),
        ({"webhook-id": "msg_2"}, SignatureWrong),
        ({"webhook-id": "ü"}, SignatureWrong),
        ({"webhook-timestamp": str(NOW + 1)}, SignatureWrong),
        ({"webhook-signature": "v1,"}, SignatureWrong),
        ({"webhook-signature": "v1"}, SignatureWrong),
        ({"webhook-signature": "v1,not base64"}, SignatureWrong),
        ({"webhook-signature": "v1,üü"}, SignatureWrong),
        ({"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, SignatureWrong),
    ],
)
def test_a_header_that_is_missing_or_changed_proves_nothing(
    changed: dict[str, Any], error: type[SignatureInvalid]
) -> None:
    headers = {name: value for name, value in {**signed(), **changed}.items() if value is not None}
    with pytest.raises(error):
        verify(BODY, headers, OLD, now=NOW)


def test_another_body_or_secret_proves_nothing() -> None:
    for body, secret in ((BODY + b" ", OLD), (b"", OLD), (BODY, NEW), (BODY, public_key(PRIVATE))):
        with pytest.raises(SignatureWrong):
            verify(body, signed(), secret, now=NOW)


def test_a_signature_counts_only_for_its_own_scheme() -> None:
    headers = signed(OLD)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v1a,")
    with pytest.raises(SignatureWrong):
        verify(BODY, headers, [OLD, public_key(PRIVATE)], now=NOW)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1a,", "v2,")
    with pytest.raises(SignatureWrong):
        verify(BODY, headers, OLD, now=NOW)


def test_the_signature_that_fits_may_come_after_others_but_not_after_a_crowd() -> None:
    headers = signed(OLD)
    fitting = headers["webhook-signature"]
    headers["webhook-signature"] = "v1,AAAA v9,x nonsense " + fitting
    assert verify(BODY, headers, OLD, now=NOW).id == "msg_1"
    headers["webhook-signature"] = "v1,AAAA " * 30 + fitting
    with pytest.raises(SignatureWrong):
        verify(BODY, headers, OLD, now=NOW)


@pytest.mark.parametrize("secret", ["whsk_" + "A" * 43 + "=", "whpk_AAAA", "word-word", ""])
def test_a_secret_that_cannot_verify_is_the_receivers_own_mistake(secret: str) -> None:
    with pytest.raises(SecretInvalid) as caught:
        verify(BODY, signed(), secret, now=NOW)
    assert "A" * 43 not in str(caught.value) and "word-word" not in str(caught.value)


def test_without_secrets_nothing_is_proven() -> None:
    with pytest.raises(SignatureWrong):
        verify(BODY, signed(), [], now=NOW)


def test_the_family_offers_it_and_imports_it_only_then() -> None:
    from celeriac.families import webhooks

    assert webhooks.verify is verify
    assert webhooks.SignatureInvalid is SignatureInvalid
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        webhooks.verfy  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
