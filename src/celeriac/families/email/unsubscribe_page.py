"""The page behind an unsubscribe link. It needs no script, loads nothing, and shows no address."""

from __future__ import annotations

from html import escape

#: No cache keeps the page, no frame shows it, nobody learns its URL, and the button leads only to itself.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 15vh auto; padding: 0 1rem; }}
button {{ font: inherit; padding: .5rem 1rem; }}
:root {{ color-scheme: light dark; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
{form}</main>
</body>
</html>
"""

_FORM = """<form method="post">
<input type="hidden" name="List-Unsubscribe" value="One-Click">
<button type="submit">Unsubscribe</button>
</form>
"""


def question(list_name: str | None) -> str:
    """Return the page with the button."""
    return _page("Unsubscribe", f"Do you want to get no more mail{_of(list_name)}?", _FORM)


def done(list_name: str | None) -> str:
    """Return the page after the button was pressed."""
    return _page("Unsubscribed", f"You will get no more mail{_of(list_name)}.")


def sample() -> str:
    """Return the page of a link in a preview or a test mail."""
    return _page(
        "Unsubscribe",
        "This is the link of a test mail. Those who get the mailing see a button here, which unsubscribes them.",
    )


def unknown() -> str:
    """Return the page of a link that stands for nobody."""
    return _page(
        "This link does not work",
        "It is incomplete, or too old. Copy the whole link from the mail, or answer the mail and ask.",
    )


def _of(list_name: str | None) -> str:
    return f" of the list “{list_name}”" if list_name else " from this sender"


def _page(title: str, text: str, form: str = "") -> str:
    return _PAGE.format(title=escape(title), text=escape(text), form=form)
