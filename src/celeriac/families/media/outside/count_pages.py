"""Reads a PDF that was made, and counts its pages. Reads a request from standard input as JSON, and writes the answer.

The answer to a fault is `{"fault": text}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pypdfium2


def main() -> None:
    """Answer one request."""
    sys.stdout.write(json.dumps(count(json.load(sys.stdin)["made"])))


def count(made: str) -> dict[str, Any]:
    """How many pages the PDF has."""
    try:
        with pypdfium2.PdfDocument(made) as document:
            pages = len(document)
    except pypdfium2.PdfiumError as error:
        return {"fault": f"the PDF that was made cannot be read: {error}"}
    return {"pages": pages} if pages else {"fault": "the PDF that was made has no pages"}


if __name__ == "__main__":
    main()
