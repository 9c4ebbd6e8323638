"""Errors of webhooks.

CeleriacError
├── SubmissionInvalid
│   ├── UrlInvalid              the URL of an endpoint cannot be used; the message says what to change
│   ├── TargetRefused           the URL leads to where deliveries must not go; final
│   └── SecretInvalid           a signing secret cannot be used; the message never has it
└── SignatureInvalid            a received webhook is not proven to be from its sender
    ├── SignatureMissing        it lacks a header of the signature, or the header cannot be read
    ├── SignatureTooOld         it was signed longer ago than the tolerance allows
    ├── SignatureTooNew         it was signed later than now, by more than the tolerance
    └── SignatureWrong          no signature fits the body and any of the secrets
"""

from __future__ import annotations

from typing import Any

from celeriac.core.errors import CeleriacError, SubmissionInvalid


class UrlInvalid(SubmissionInvalid):
    """The URL of an endpoint cannot be used. The message says what to change."""


class TargetRefused(SubmissionInvalid):
    """The URL leads to where deliveries must not go. It is final, and the message is always the same one."""

    def __init__(self) -> None:
        super().__init__(
            "deliveries to this URL are not allowed: its host is not on the public internet, and not among those that "
            "CELERIAC_WEBHOOK_ALLOW names"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class SecretInvalid(SubmissionInvalid):
    """A signing secret cannot be used. The message says what is expected, and never has the secret."""


class SignatureInvalid(CeleriacError):
    """A received webhook is not proven to be from its sender. Do not tell the sender why: log it."""


class SignatureMissing(SignatureInvalid):
    """The webhook lacks a header of the signature, or the header cannot be read. The message names it."""


class SignatureTooOld(SignatureInvalid):
    """The webhook was signed longer ago than the tolerance allows: it may be a replay, or a clock is wrong."""


class SignatureTooNew(SignatureInvalid):
    """The webhook was signed later than now, by more than the tolerance: a clock is wrong."""


class SignatureWrong(SignatureInvalid):
    """No signature fits the body and any of the secrets. Either is another one, or the body was changed on its way."""
