"""The options by which commands get the content of a mailing, once for all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from celeriac.core.errors import CommandLineWrong


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of a mailing, as a command's options say it."""

    recipients: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV file with a header and a column `email`."),
    ]
    subject: Annotated[str, typer.Option(help="A Jinja template; the CSV's columns are its variables.")]
    text: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with the plain text.")] = None
    html: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with the HTML.")] = None
    mjml: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with MJML, instead of HTML.")] = (
        None
    )
    sender: Annotated[str | None, typer.Option(help="`address` or `Name <address>`; else CELERIAC_MAIL_FROM.")] = None
    list_name: Annotated[
        str | None, typer.Option("--list", help="The list that it belongs to, which recipients unsubscribe from.")
    ] = None
    unsubscribe: Annotated[
        str | None, typer.Option(help="The List-Unsubscribe header (RFC 2369), which replaces Celeriac's own link.")
    ] = None
    attach: Annotated[list[str] | None, typer.Option(help="JOB/NAME: a file that a job has made; repeatable.")] = None
    image: Annotated[
        list[str] | None, typer.Option(help="NAME=JOB/FILE: a file that the HTML shows as cid:NAME; repeatable.")
    ] = None
    inline_css: Annotated[bool, typer.Option(help="Write the CSS of <style> into style attributes, too.")] = True
    duplicates: Annotated[
        str, typer.Option(help="Rows with the address of an earlier row: `refuse`, or send the `first`, or `all`.")
    ] = "refuse"

    def fields(self) -> dict[str, Any]:
        """Return the fields of a mailing.

        Raises:
            CommandLineWrong: an option is missing, or a file is not UTF-8.
        """
        if self.text is None and self.html is None and self.mjml is None:
            raise CommandLineWrong("there is no text for the mails: give --text FILE, --html FILE or --mjml FILE")
        images = {name: file for name, _, file in (one.partition("=") for one in self.image or ())}
        fields = {
            "subject": self.subject,
            "text": self.text and _content(self.text, "--text"),
            "html": self.html and _content(self.html, "--html"),
            "mjml": self.mjml and _content(self.mjml, "--mjml"),
            "inline_css": self.inline_css,
            "sender": self.sender,
            "list_name": self.list_name,
            "list_unsubscribe": self.unsubscribe,
            "attachments": [_file(one) for one in self.attach or ()],
            "inline_images": {name: _file(one) for name, one in images.items()},
            "duplicates": self.duplicates,
        }
        return {name: value for name, value in fields.items() if value is not None}


def with_content(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `Content` in place of its parameter `content`."""
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "content"]
    shared = list(inspect.signature(Content).parameters.values())
    hints = {**get_type_hints(command, include_extras=True), **get_type_hints(Content, include_extras=True)}

    @wraps(command)
    def run(**given: Any) -> None:
        content = Content(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        command(content=content, **given)

    parameters = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in [*shared, *own]
    ]
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _file(text: str) -> dict[str, str]:
    return dict(zip(("job", "name"), text.split("/", 1), strict=False))


def _content(file: Path, option: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandLineWrong(f"{option} {file}: is not UTF-8") from None
