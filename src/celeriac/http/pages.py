"""Pages for people: the API's documentation, and a page of links. Their files are included, so they work offline.

Swagger UI is in `static/swagger-ui`, unchanged, with its licence (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from celeriac.core.errors import ConfigurationError

_FILES = Path(__file__).parent / "static"

#: Allows no content of other hosts, and no inline scripts. Swagger UI sets styles on its elements.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{files}/swagger-ui/favicon-32x32.png">
<link rel="stylesheet" href="{files}/{style}">
</head>
<body>
{body}
</body>
</html>
"""

_DOCS = """<noscript>This page needs JavaScript; <a href="{openapi}">the OpenAPI document</a> does not.</noscript>
<div id="swagger-ui" data-openapi="{openapi}"></div>
<script src="{files}/swagger-ui/swagger-ui-bundle.js"></script>
<script src="{files}/docs.js"></script>"""

_HOME = """<main>
<h1>{title}</h1>
<p>Background jobs, over HTTP.</p>
<nav aria-label="Pages">
<ul>
{links}
</ul>
</nav>
</main>
<footer>{title} {version}</footer>"""

_LINK = '<li><a href="{href}"><strong>{title}</strong><span>{about}</span></a></li>'


class Link(NamedTuple):
    """A link on the home page: a path below the API's own or a URL, its title, and a description."""

    href: str
    title: str
    about: str


def add_docs(api: FastAPI, path: str = "/docs") -> None:
    """Serve Swagger UI for `api` at `path`, from files of this package. FastAPI's own page loads them from a CDN.

    Raises:
        ConfigurationError: FastAPI serves its own page there, or serves no OpenAPI document.
    """
    if path in (api.docs_url, api.redoc_url):
        raise ConfigurationError(
            f"FastAPI serves a page of its own at {path}; make it with FastAPI(docs_url=None, redoc_url=None)"
        )
    if api.openapi_url is None:
        raise ConfigurationError(f"the page at {path} needs an OpenAPI document; give FastAPI an openapi_url")
    files = f"{path}/files"

    async def docs(request: Request) -> Response:
        base = _root(request)
        parts = {"openapi": escape(f"{base}{api.openapi_url}"), "files": escape(base + files)}
        return _page(f"{api.title}: API", parts["files"], "swagger-ui/swagger-ui.css", _DOCS.format(**parts))

    api.add_route(path, docs, include_in_schema=False)
    api.mount(files, StaticFiles(directory=_FILES), name="celeriac-docs-files")


def add_home(api: FastAPI, links: Callable[[], Mapping[str, Link]], *, docs: str = "/docs") -> None:
    """Serve a page of links at `/`. Programs get the links as JSON.

    Args:
        links: returns the links by name. Each request calls it.
        docs: the path at which `add_docs` serves its page.
    """

    async def home(request: Request) -> Response:
        base, there = _root(request), links()
        found = {name: base + link.href if link.href.startswith("/") else link.href for name, link in there.items()}
        headers = {"Vary": "Accept"}
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse({"name": api.title, "version": api.version, "links": found}, headers=headers)
        shown = "\n".join(
            _LINK.format(href=escape(href), title=escape(there[name].title), about=escape(there[name].about))
            for name, href in found.items()
        )
        body = _HOME.format(title=escape(api.title), version=escape(api.version), links=shown)
        return _page(api.title, escape(f"{base}{docs}/files"), "home.css", body, headers)

    api.add_route("/", home, include_in_schema=False)


def _page(title: str, files: str, style: str, body: str, headers: Mapping[str, str] | None = None) -> HTMLResponse:
    content = _PAGE.format(title=escape(title), files=files, style=style, body=body)
    return HTMLResponse(content, headers={**_HEADERS, **(headers or {})})


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")
