"""How requests prove who sends them. Secrets are places, `env:VARIABLE` or `file:PATH`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from celeriac.core.exact import Exact
from celeriac.families.sync.http.urls import HttpUrl
from celeriac.families.sync.secrets import SecretPlace

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,200}$")]


class HeaderAuth(Exact):
    """A header has the secret."""

    type: Literal["header"]
    name: _Name
    """The header's name, such as `X-Api-Key`."""
    value: SecretPlace
    """Where its value is."""


class QueryAuth(Exact):
    """A parameter of the query has the secret. No message and no stored URL shows it."""

    type: Literal["query"]
    name: _Name
    """The parameter's name."""
    value: SecretPlace
    """Where its value is."""


class BasicAuth(Exact):
    """A user and a password (RFC 7617)."""

    type: Literal["basic"]
    user: Annotated[str, Field(max_length=200)]
    """The user's name, which is no secret."""
    password: SecretPlace
    """Where the password is."""


class BearerAuth(Exact):
    """A token in `Authorization: Bearer` (RFC 6750)."""

    type: Literal["bearer"]
    token: SecretPlace
    """Where the token is."""


class OAuth2Auth(Exact):
    """Tokens that a server issues for client credentials (RFC 6749, section 4.4)."""

    type: Literal["oauth2"]
    token_url: HttpUrl
    """Where tokens are issued."""
    client_id: Annotated[str, Field(min_length=1, max_length=500)]
    """The client's id, which is no secret."""
    client_secret: SecretPlace
    """Where the client's secret is."""
    scope: str | None = None
    """What the token is to allow."""
    params: dict[str, str] = Field(default_factory=dict)
    """More fields of the token request, such as `audience`."""
    credentials_in: Literal["header", "body"] = "header"
    """Where that request has the client's id and secret."""


Auth = Annotated[HeaderAuth | QueryAuth | BasicAuth | BearerAuth | OAuth2Auth, Field(discriminator="type")]
