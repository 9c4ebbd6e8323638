"""Signatures, against the vectors that the libraries of Standard Webhooks and the server of Svix are tested with."""

from __future__ import annotations

from base64 import b64encode

import pytest

from celeriac.families.webhooks.errors import SecretInvalid
from celeriac.families.webhooks.keys import check_secret
from celeriac.families.webhooks.signing import new_secret, public_key, sign
from celeriac.families.webhooks.verifying import verify

ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SHARED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SEED = "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
PAIR = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
VECTORS = {
    SHARED: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    SEED: "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
    PAIR: "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
}


@pytest.mark.parametrize("secret", VECTORS)
def test_a_signature_is_that_of_the_published_vector(secret: str) -> None:
    assert sign(ID, AT, BODY, [secret]) == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": VECTORS[secret],
    }


def test_there_is_a_signature_for_each_live_secret_in_their_order() -> None:
    assert sign(ID, AT, BODY, list(VECTORS))["webhook-signature"] == " ".join(VECTORS.values())


def test_a_public_key_is_that_of_the_published_pair() -> None:
    assert public_key(PAIR) == "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_a_new_secret_signs_what_its_receiver_can_verify(kind: str) -> None:
    secret, other = new_secret(kind), new_secret(kind)  # pyright: ignore[reportArgumentType]
    assert secret != other
    check_secret(secret)
    theirs = secret if kind == "v1" else public_key(secret)
    assert verify(BODY, sign("msg_1", AT, BODY, [secret]), theirs, now=AT).id == "msg_1"


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\n", "ü", "x" * 257])
def test_a_message_id_that_would_blur_what_is_signed_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        sign(message_id, AT, BODY, [SHARED])


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ValueError, match="without a secret"):
        sign(ID, AT, BODY, [])


def base64(length: int) -> str:
    return b64encode(b"k" * length).decode()


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("", "24 to 64 bytes"),
        ("secret-word", "24 to 64 bytes"),
        (f"whsec_{base64(23)}", "24 to 64 bytes"),
        (f"whsec_{base64(65)}", "24 to 64 bytes"),
        ("whsec_secret-word!", "24 to 64 bytes"),
        ("whsec_" + "A" * 1000, "24 to 64 bytes"),
        (f"whpk_{base64(32)}", "24 to 64 bytes"),
        (f"whsk_{base64(31)}", "32 or 64 bytes"),
        (f"whsk_{base64(64)}", "not the public key of its first half"),
        ("whsk_secret-word!", "32 or 64 bytes"),
    ],
)
def test_a_secret_that_cannot_sign_is_refused_without_being_shown(secret: str, says: str) -> None:
    for use in (check_secret, lambda it: sign(ID, AT, BODY, [it])):
        with pytest.raises(SecretInvalid, match=says) as caught:
            use(secret)
        assert "secret-word" not in str(caught.value) and base64(23) not in str(caught.value)
