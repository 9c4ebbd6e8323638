"""What replies mean: those that real servers and providers give, at each stage of the dialogue."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from celeriac.families.email.replies import Stage, Verdict, enhanced_code, judge

HARD, SOFT, MESSAGE, POLICY = Verdict.HARD, Verdict.SOFT, Verdict.MESSAGE, Verdict.POLICY
LATER, DOMAIN_LATER = Verdict.LATER, Verdict.DOMAIN_LATER
SENDER, SENDER_LATER = Verdict.SENDER, Verdict.SENDER_LATER
AFTER = RCPT, DATA, END = Stage.RCPT, Stage.DATA, Stage.END
BEFORE = [Stage.CONNECT, Stage.EHLO, Stage.STARTTLS, Stage.AUTH, Stage.MAIL]

#: Replies that sound like a recipient's, a message's or a policy's.
TEXTS = [
    "5.1.1 user unknown",
    "5.1.8 sender's domain is unknown",
    "5.2.2 mailbox full",
    "5.3.2 no service",
    "5.5.1 bad sequence",
    "5.7.0 not you",
    "5.7.1 blocked",
    "5.7.8 wrong password",
    "5.7.26 unauthenticated",
    "no",
    "",
]


def verdicts(stages: Iterable[Stage], codes: Iterable[int], texts: Iterable[str]) -> set[Verdict]:
    """All that is judged of each stage with each code and each text."""
    return {judge(*case) for case in itertools.product(stages, codes, texts)}


def test_before_a_recipient_was_named_every_refusal_is_the_senders() -> None:
    codes = [500, 502, 503, 521, 530, 535, 550, 551, 552, 553, 554, 555, 599]
    assert verdicts(BEFORE, codes, TEXTS) == {SENDER}


def test_what_is_refused_for_now_before_that_is_the_senders_for_now() -> None:
    texts = ["4.7.0 try later", "4.3.2 shutting down", "4.1.8 unknown domain", "too busy", ""]
    assert verdicts(BEFORE, [421, 432, 450, 451, 452, 454], texts) == {SENDER_LATER}


def test_a_message_that_is_too_large_is_told_at_mail_from_already() -> None:
    assert judge(Stage.MAIL, 552, "5.3.4 Message size exceeds fixed limit") is MESSAGE


def test_2yz_is_accepted() -> None:
    assert verdicts(Stage, [200, 220, 250, 251, 252, 299], ["2.0.0 OK", ""]) == {Verdict.ACCEPTED}


def test_what_is_no_reply_of_smtp_is_nobodys_fault() -> None:
    assert verdicts(Stage, [0, 100, 199, 600, 999], ["what?"]) == {SENDER_LATER}


def test_3yz_is_accepted_only_where_it_can_come() -> None:
    assert [stage for stage in Stage if judge(stage, 354, "go on") is Verdict.ACCEPTED] == [Stage.AUTH, Stage.DATA]


def test_an_address_that_does_not_exist_is_hard() -> None:
    texts = [f"5.1.{detail} no" for detail in (0, 1, 2, 3, 5, 6, 10)]
    assert verdicts(AFTER, [550, 551, 553, 554], texts) == {HARD}


@pytest.mark.parametrize(("first", "verdict"), [(4, SENDER_LATER), (5, SENDER)])
def test_what_names_the_sender_is_the_senders_wherever_it_comes(first: int, verdict: Verdict) -> None:
    enhanced = ["1.7", "1.8", *(f"7.{n}" for n in (8, 9, 10, 11, 12, 13, 14, *range(20, 30)))]
    assert verdicts(AFTER, [first * 100 + 50], [f"{first}.{code} no" for code in enhanced]) == {verdict}


def test_other_policy_is_a_policys() -> None:
    texts = [f"5.7.{detail} no" for detail in (0, 1, 3, 4, 5, 6, 7, 200, 300, 606)]
    assert verdicts(AFTER, [550, 554, 571], texts) == {POLICY}


def test_a_server_in_trouble_delays_its_domain() -> None:
    assert verdicts(AFTER, [451], [f"4.{subject}.0 later" for subject in (3, 4, 7)]) == {DOMAIN_LATER}


def test_a_mailbox_in_trouble_delays_itself() -> None:
    texts = ["4.2.0 later", "4.2.1 later", "4.2.2 full", "4.1.1 unverified", "later", ""]
    assert verdicts(AFTER, [450, 451, 452], texts) == {LATER}


#: Stage, reply, and what it means.
REAL: list[tuple[Stage, str, Verdict]] = [
    # Postfix
    (RCPT, "550 5.1.1 <a@x.example>: Recipient address rejected: User unknown in local recipient table", HARD),
    (RCPT, "550 5.1.1 <a@x.example>: Recipient address rejected: User unknown in virtual mailbox table", HARD),
    (RCPT, "550 5.1.0 <a@x.example>: Recipient address rejected: undeliverable address: host said no", HARD),
    (RCPT, "450 4.1.1 <a@x.example>: Recipient address rejected: unverified address: in progress", LATER),
    (RCPT, "554 5.7.1 <a@x.example>: Relay access denied", SENDER),
    (RCPT, "454 4.7.1 <a@x.example>: Relay access denied", SENDER_LATER),
    (RCPT, "450 4.1.8 <b@y.example>: Sender address rejected: Domain not found", SENDER_LATER),
    (RCPT, "553 5.7.1 <b@y.example>: Sender address rejected: not logged in", SENDER),
    (RCPT, "553 5.7.1 <b@y.example>: Sender address rejected: not owned by user app", SENDER),
    (RCPT, "550 5.1.0 <b@y.example>: Sender address rejected: User unknown", SENDER),
    (RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", POLICY),
    (RCPT, "450 4.7.1 <h>: Helo command rejected: Host not found", DOMAIN_LATER),
    (RCPT, "451 4.3.0 <a@x.example>: Temporary lookup failure", DOMAIN_LATER),
    (RCPT, "452 4.3.1 Insufficient system storage", DOMAIN_LATER),
    (RCPT, "452 4.5.3 Error: too many recipients", LATER),
    (RCPT, "450 4.2.0 <a@x.example>: Recipient address rejected: Greylisted, see http://postgrey.example", LATER),
    (RCPT, "421 4.7.0 mx.example Error: too many errors", DOMAIN_LATER),
    (RCPT, "503 5.5.1 Error: need MAIL command", SENDER),
    (RCPT, "501 5.1.3 Bad recipient address syntax", HARD),
    (RCPT, "504 5.5.2 <a>: Recipient address rejected: need fully-qualified address", SENDER),
    (END, "552 5.3.4 Error: message file too big", MESSAGE),
    (END, "550 5.7.1 Message content rejected", POLICY),
    (END, "554 5.6.0 Message contains invalid header", MESSAGE),
    (END, "451 4.3.0 Error: queue file write error", DOMAIN_LATER),
    (END, "554 5.5.0 Transaction failed", MESSAGE),
    (RCPT, "552 5.2.2 <a@x.example>: user over quota", SOFT),
    # Exim
    (RCPT, "550 Unrouteable address", HARD),
    (RCPT, "550 Unknown user", HARD),
    (RCPT, "550 no such address here", HARD),
    (RCPT, "550 relay not permitted", SENDER),
    (RCPT, "550 Sender verify failed", SENDER),
    (RCPT, "550 authentication required", SENDER),
    (RCPT, "550 Administrative prohibition", SOFT),
    (RCPT, "451 Temporary local problem - please try later", LATER),
    (RCPT, "451 Could not complete sender verify callout", SENDER_LATER),
    (RCPT, "550 192.0.2.1 is in an RBL on black.example", POLICY),
    (END, "552 Message size exceeds maximum permitted", MESSAGE),
    (END, "550 This message scored 12.3 spam points", POLICY),
    # Gmail
    (RCPT, "550 5.1.1 The email account that you tried to reach does not exist. Please try", HARD),
    (RCPT, "550 5.2.1 The email account that you tried to reach is disabled.", HARD),
    (RCPT, "552 5.2.2 The recipient's inbox is out of storage space.", SOFT),
    (RCPT, "452 4.2.2 The email account that you tried to reach is over quota.", LATER),
    (RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly.", LATER),
    (END, "550 5.7.26 This mail has been blocked because the sender is unauthenticated.", SENDER),
    (END, "550 5.7.25 The IP address sending this message does not have a PTR record.", SENDER),
    (END, "550 5.7.1 [192.0.2.1 12] Our system has detected that this message is likely unsolicited mail.", POLICY),
    (END, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail", SENDER_LATER),
    (END, "421 4.7.0 Temporary System Problem. Try again later", DOMAIN_LATER),
    (END, "552 5.7.0 This message was blocked because its content presents a potential security issue.", MESSAGE),
    (END, "552 5.3.4 Your message exceeded Google's message size limits.", MESSAGE),
    (RCPT, "550 5.4.5 Daily user sending limit exceeded.", SENDER),
    (RCPT, "550 5.4.5 Daily sending quota exceeded.", SENDER),
    (RCPT, "550 5.7.1 The user or domain that you are sending to (or from) has a policy that prohibited", POLICY),
    # Outlook.com and Exchange Online
    (RCPT, "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", HARD),
    (RCPT, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", HARD),
    (RCPT, "550 5.4.1 Recipient address rejected: Access denied. [host.example 2026]", HARD),
    (RCPT, "550 5.4.310 DNS domain x.example does not exist", HARD),
    (RCPT, "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", SOFT),
    (RCPT, "550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required", SOFT),
    (RCPT, "550 5.7.124 Sender not in the allowed senders list of the group", SOFT),
    (RCPT, "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. (S3140)", POLICY),
    (RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.1]", POLICY),
    (RCPT, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", SENDER),
    (RCPT, "550 5.1.90 Your message can't be sent: you've reached your daily limit for message recipients", SENDER),
    (END, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", SENDER),
    (END, "554 5.2.252 SendAsDenied; app not allowed to send as b@y.example", SENDER),
    (RCPT, "451 4.7.500 Server busy. Please try again later from [192.0.2.1].", DOMAIN_LATER),
    (RCPT, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited", DOMAIN_LATER),
    (RCPT, "552 5.2.2 STOREDRV.Deliver; mailbox full", SOFT),
    (RCPT, "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient", SOFT),
    (RCPT, "554 5.2.1 mailbox disabled", HARD),
    # Yahoo, AOL
    (END, "554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) [0]", HARD),
    (END, "554 5.7.9 Message not accepted for policy reasons.", SENDER),
    (RCPT, "552 1 Requested mail action aborted, mailbox not found", HARD),
    (RCPT, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume", DOMAIN_LATER),
    (RCPT, "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1", POLICY),
    (END, "451 4.3.2 Internal error reading data", DOMAIN_LATER),
    # Amazon SES
    (END, "454 Throttling failure: Maximum sending rate exceeded.", SENDER_LATER),
    (END, "454 Throttling failure: Daily message quota exceeded.", SENDER_LATER),
    (END, "554 Message rejected: Email address is not verified.", SENDER),
    (END, "554 Access denied: User `arn:x' is not authorized to perform `ses:SendRawEmail'", POLICY),
    (END, "451 4.4.2 Timeout waiting for data from client.", DOMAIN_LATER),
    (RCPT, "501 Invalid RCPT TO address provided", SENDER),
    # SendGrid, Mailgun, Postmark
    (END, "451 Authentication failed: Maximum credits exceeded", SENDER_LATER),
    (DATA, "550 The from address does not match a verified Sender Identity.", SENDER),
    (RCPT, "550 Unauthenticated senders not allowed", SENDER),
    (RCPT, "452 Too many recipients received this hour", LATER),
    (END, "550 5.7.1 Domain x.example is not allowed to send: probation, messages per hour", SENDER),
    (END, "421 Domain y.example is not allowed to send: request limit exceeded", DOMAIN_LATER),
    # qmail
    (RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", SENDER),
    (RCPT, "550 sorry, no mailbox here by that name (#5.1.1)", HARD),
    (RCPT, "511 sorry, no mailbox here by that name (#5.1.1 - chkuser)", HARD),
    (RCPT, "522 sorry, recipient mailbox is full (#5.2.2 - chkuser)", SOFT),
    (RCPT, "451 qq temporary problem (#4.3.0)", DOMAIN_LATER),
    # Greylisting in other words
    (RCPT, "451 4.7.1 Greylisting in action, please come back in 00:05:00", LATER),
    (RCPT, "450 Graylisted, please try again in 300 seconds", LATER),
    (RCPT, "451 Temporarily greylisted. Try again later.", LATER),
    (RCPT, "450 4.7.1 <a@x.example>: Recipient address rejected: Policy Rejection- grey listed", LATER),
    (DATA, "451 4.7.1 Greylisting in action", LATER),
    # iCloud, GMX, Mimecast, Proofpoint, Sendmail
    (RCPT, "550 5.1.1 unknown or illegal alias: a@icloud.com", HARD),
    (END, "550 5.7.1 [CS01] Message rejected due to local policy.", POLICY),
    (RCPT, "550 Requested action not taken: mailbox unavailable", HARD),
    (RCPT, "550 Requested action not taken: mailbox unavailable. See https://postmaster.gmx.example/?ip=1", POLICY),
    (RCPT, "550 Invalid Recipient - https://community.mimecast.example/docs", HARD),
    (RCPT, "550 csi.mimecast.org Poor Reputation Sender.", POLICY),
    (RCPT, "554 Blocked - see https://ipcheck.proofpoint.example/?ip=192.0.2.1", POLICY),
    (RCPT, "550 5.3.0 <a@x.example>... No such user here", HARD),
    (RCPT, "550 5.1.2 <a@x.example>... Host unknown (Name server: x.example: host not found)", HARD),
    (RCPT, "551 5.7.1 User not local; we do not relay", SENDER),
    (RCPT, "556 5.1.10 Recipient domain has null MX", HARD),
    # Nothing but a code
    (RCPT, "550 told to", SOFT),
    (RCPT, "551 told to", HARD),
    (RCPT, "552 told to", SOFT),
    (RCPT, "553 told to", HARD),
    (RCPT, "554 told to", POLICY),
    (END, "550 told to", MESSAGE),
    (END, "552 told to", MESSAGE),
    (END, "554 told to", MESSAGE),
    (RCPT, "500 told to", SENDER),
    (RCPT, "530 told to", SENDER),
    (RCPT, "421 told to", DOMAIN_LATER),
    (RCPT, "450 told to", LATER),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "reply", "verdict"), REAL)
def test_the_replies_of_real_servers(stage: Stage, reply: str, verdict: Verdict) -> None:
    assert judge(stage, int(reply[:3]), reply[4:]) is verdict


@pytest.mark.parametrize(
    ("code", "text", "enhanced"),
    [
        (550, "5.1.1 no", (1, 1)),
        (550, "5.1.1: no", (1, 1)),
        (550, "5.7.606", (7, 606)),
        (550, "4.1.1 another class", None),
        (550, "5.1 no", None),
        (550, "5.1.1.1 no", None),
        (550, "5.1.1234 no", None),
        (550, "5.x.1 no", None),
        (550, "5.¹.1 no", None),
        (550, "5..1 no", None),
        (550, "no 5.1.1", None),
        (553, "sorry (#5.7.1)", (7, 1)),
        (553, "sorry (#", None),
        (550, "", None),
    ],
)
def test_the_enhanced_code_is_read_strictly(code: int, text: str, enhanced: tuple[int, int] | None) -> None:
    assert enhanced_code(code, text) == enhanced
