"""Compiles MJML and inlines CSS in a process of its own, started as a script: JSON on standard input and output.

Both libraries are native code, which nobody can stop: tags in tags, 5,000 deep, overflow their stack and end the
process, and 2,000 rules for 2,000 elements take 20 seconds in which no other thread runs.

It imports nothing of Celeriac, and gets no environment.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

_CPU_S = 3
_MEMORY = 1 << 30


def main() -> None:
    """Do the one thing that standard input asks for."""
    for kind, most in ((resource.RLIMIT_CPU, _CPU_S), (resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):  # macOS refuses RLIMIT_AS
            continue
    asked = json.load(sys.stdin)
    answer = _mjml(asked["mjml"]) if "mjml" in asked else _inlined(asked["html"], asked["rules"])
    json.dump(answer, sys.stdout)


def _mjml(source: str) -> dict[str, Any]:
    import mjml

    try:
        return {"html": mjml.mjml2html(source)}
    except ValueError as error:
        return {"error": str(error)}


def _inlined(html: str, rules: list[str]) -> dict[str, Any]:
    """Inline the rules that can be read, and name the others by their places."""
    import css_inline

    reader = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True, remove_inlined_selectors=True)
    unread = [number for number, rule in enumerate(rules) if not _reads(reader, rule)]
    css = "\n".join(rule for number, rule in enumerate(rules) if number not in set(unread))
    inliner = css_inline.CSSInliner(
        load_remote_stylesheets=False, keep_style_tags=True, keep_link_tags=True, extra_css=css
    )
    return {"html": inliner.inline(html), "unread": unread}


def _reads(reader: Any, rule: str) -> bool:
    """Return whether a rule can be read. One that cannot takes those behind it with it, and no error says so.

    In an empty document, what is read is either left over, or inlined into `html` or `body`.
    """
    try:
        answer = reader.inline(f"<style>{rule}</style>")
    except ValueError:
        return False
    return "<style></style>" not in answer or " style=" in answer.replace("<style></style>", "")


main()
