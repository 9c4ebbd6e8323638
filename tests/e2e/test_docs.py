"""Every page of the documentation does what it says, and every link in it leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.fixtures import on_database
from tests.support.markdown import CODE, DATA, blocks
from tests.support.pages import Page, emptied
from tests.support.slow import quick_first
from tests.support.workers import ROOT

AT_THE_ROOT = [ROOT / f"{page}.md" for page in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")]
PAGES = sorted([*AT_THE_ROOT, *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
RUN = [page for page in PAGES if any(b.language in CODE and b.not_run is None for b in blocks(page))]

#: The pages that newcomers begin with run by default, all others with `--slow`.
FIRST = [page for page in RUN if page.stem in ("README", "existing-fastapi")]

#: Databases that pages take turns with.
DATABASES = range(3)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", quick_first([*FIRST, *(p for p in RUN if p not in FIRST)], quick=len(FIRST)), ids=name)
def test_a_page_does_what_it_says(page: Path, readers_valkey_url: str, tmp_path: Path) -> None:
    url = on_database(readers_valkey_url, DATABASES[RUN.index(page) % len(DATABASES)])
    Page(page, tmp_path, emptied(url)).run()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_run_or_say_why_not(page: Path) -> None:
    languages = {block.language for block in blocks(page)} - {"start"}
    assert languages <= CODE | DATA, "use python, console or js for code"
    for block in blocks(page):
        assert block.not_run is None or block.language in CODE, f"line {block.line}: only code needs a reason"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"{target} does not exist"
        if anchor:
            assert anchor in anchors(linked), f"{target}: no such heading"


def anchors(page: Path) -> set[str]:
    """The anchors GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
