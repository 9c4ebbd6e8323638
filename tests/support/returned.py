"""Messages as they come back: bounces in several forms, and feedback reports."""

from __future__ import annotations

MAIL = "From: News <news@example.com>\r\nTo: ada@example.net\r\nSubject: Hello\r\n{headers}\r\nDear Ada\r\n"


def dsn(
    *,
    to: str = "bounces@example.com",
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 <ada@example.net>: Recipient address rejected: User unknown",
    headers: str = "",
    recipient: str = "ada@example.net",
) -> bytes:
    """A delivery status notification (RFC 3464), as Postfix writes it; `headers` are of the mail that it returns."""
    return (
        f"From: MAILER-DAEMON@mx.example.net\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="XX"\r\nMIME-Version: 1.0\r\n\r\n'
        "--XX\r\nContent-Type: text/plain\r\n\r\nI'm sorry to have to inform you that your message could not\r\n"
        "be delivered to one or more recipients.\r\n\r\n"
        "--XX\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example.net\r\nArrival-Date: Sun, 29 Nov 2026 12:00:00 +0000\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: {diagnostic}\r\n\r\n"
        "--XX\r\nContent-Type: message/rfc822\r\n\r\n" + MAIL.format(headers=headers) + "\r\n--XX--\r\n"
    ).encode()


def arf(*, headers: str = "", kind: str = "abuse", fields: str = "", to: str = "abuse@example.com") -> bytes:
    """A feedback report (RFC 5965); `fields` are added to its machine-readable part."""
    return (
        f"From: <fbl@provider.example>\r\nTo: {to}\r\nSubject: FW: Hello\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="YY"\r\n\r\n'
        "--YY\r\nContent-Type: text/plain\r\n\r\nThis is an email abuse report.\r\n\r\n"
        "--YY\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: {kind}\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n{fields}\r\n"
        "--YY\r\nContent-Type: message/rfc822\r\n\r\n" + MAIL.format(headers=headers) + "\r\n--YY--\r\n"
    ).encode()


def qmail(*, to: str, words: str) -> bytes:
    """A bounce that is no report, as qmail writes it (QSBMF)."""
    return (
        f"From: MAILER-DAEMON@mail.example.net\r\nTo: {to}\r\nSubject: failure notice\r\n\r\n"
        "Hi. This is the qmail-send program at mail.example.net.\r\n"
        "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n"
        "This is a permanent error; I've given up. Sorry it didn't work out.\r\n\r\n"
        f"<ada@example.net>:\r\n{words}\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n"
        + MAIL.format(headers="")
    ).encode()
