"""Tokens stand for one recipient and purpose, hold in any case of letters, and cannot be forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.core.ids import new_id
from celeriac.families.email.tokens import LENGTH, Purpose, Tokens

MAILING = "3f0e7a52-7c1b-4c39-9a7e-2f6f8a4b1c5d"
TOKENS = Tokens([b"a secret of sixteen"])


@given(st.uuids(version=4).map(str), st.integers(0, 2**32 - 1), st.sampled_from(Purpose))
def test_a_token_is_read_as_it_was_made(mailing: str, position: int, purpose: Purpose) -> None:
    token = TOKENS.make(purpose, mailing, position)
    assert len(token) == LENGTH
    assert token.isalnum()
    assert token == token.lower()
    assert TOKENS.read(purpose, token) == TOKENS.read(purpose, token.upper()) == (mailing, position)


def test_the_ids_of_mailings_have_the_form_that_tokens_need() -> None:
    assert TOKENS.read(Purpose.BOUNCE, TOKENS.make(Purpose.BOUNCE, identifier := new_id(), 7)) == (identifier, 7)


@given(st.integers(0, LENGTH - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_token_is_refused(place: int, letter: str) -> None:
    token = TOKENS.make(Purpose.BOUNCE, MAILING, 7)
    changed = token[:place] + letter + token[place + 1 :]
    assert (TOKENS.read(Purpose.BOUNCE, changed) is None) == (changed != token)


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    assert TOKENS.read(Purpose.UNSUBSCRIBE, text) is None


def test_a_return_path_unsubscribes_nobody() -> None:
    assert TOKENS.read(Purpose.UNSUBSCRIBE, TOKENS.make(Purpose.BOUNCE, MAILING, 7)) is None


def test_secrets_can_be_changed() -> None:
    old = Tokens([b"the old secret"])
    token = old.make(Purpose.BOUNCE, MAILING, 7)
    both = Tokens([b"the new secret", b"the old secret"])
    assert both.read(Purpose.BOUNCE, token) == (MAILING, 7)
    assert old.read(Purpose.BOUNCE, both.make(Purpose.BOUNCE, MAILING, 7)) is None
    assert Tokens([b"the new secret"]).read(Purpose.BOUNCE, token) is None
    with pytest.raises(ValueError, match="need a secret"):
        Tokens([])


@pytest.mark.parametrize(
    ("mailing", "position"), [("nightly", 1), (MAILING.upper(), 1), (MAILING, -1), (MAILING, 2**32)]
)
def test_what_does_not_fit_a_token_is_an_error(mailing: str, position: int) -> None:
    with pytest.raises(ValueError):
        TOKENS.make(Purpose.BOUNCE, mailing, position)
