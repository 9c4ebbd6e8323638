"""The signatures of Amazon SNS, and the pages at Amazon that they need: certificates, and confirmations."""

from __future__ import annotations

import asyncio
import base64
import binascii
import http.client
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from celeriac.families.email.inbound.providers.base import NotGenuine, NotNow, text

#: Only hosts of SNS in Amazon's regions are asked. Others below amazonaws.com belong to customers: `sns.s3-eu-west-1`
#: is the bucket of whoever has that name.
_HOST = re.compile(r"sns\.[a-z]{2}(-[a-z]{3,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(\.cn)?")
#: Pages that are fetched at a time. Anybody may post a URL, and each takes a thread.
_MOST_AT_ONCE = 4
_TIMEOUT_S = 5.0
_MOST_BYTES = 65_536
_MOST_CERTIFICATES = 20

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


class AmazonPages:
    """Fetches pages of Amazon SNS: https, its own hosts, no redirects, bounded in time and size."""

    def __init__(self, port: int = 443, address: str | None = None, context: ssl.SSLContext | None = None) -> None:
        """`address` is connected to instead of the host, whose certificate is checked all the same."""
        self._port = port
        self._address = address
        self._context = context or ssl.create_default_context()
        self._fetching = 0

    async def fetch(self, url: str) -> bytes:
        """Return a page.

        Raises:
            NotGenuine: the URL is none of Amazon's.
            NotNow: the page cannot be had.
        """
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            plain = parts.scheme == "https" and parts.netloc == host and _HOST.fullmatch(host)
        except ValueError:
            plain, parts, host = None, urlsplit(""), ""
        if not plain or not url.isascii() or not url.isprintable() or " " in url:
            raise NotGenuine("its URL is not one of Amazon SNS")
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if self._fetching >= _MOST_AT_ONCE:
            raise NotNow("Amazon SNS is being asked for too much")
        self._fetching += 1
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                return await asyncio.to_thread(self._get, host, path)
        except (OSError, http.client.HTTPException, TimeoutError):
            raise NotNow("Amazon SNS cannot be asked now") from None
        finally:
            self._fetching -= 1

    def _get(self, host: str, path: str) -> bytes:
        connection = _Connection(host, self._port, self._address, self._context)
        try:
            connection.request("GET", path)
            with connection.getresponse() as response:  # it may own the socket
                page = response.read(_MOST_BYTES + 1)
                if response.status != 200 or len(page) > _MOST_BYTES:
                    raise http.client.HTTPException("not a page")
                return page
        finally:
            connection.close()


class _Connection(http.client.HTTPSConnection):
    """A connection to another address than its host's, with the host's certificate."""

    def __init__(self, host: str, port: int, address: str | None, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_S, context=context)
        self._elsewhere = address
        self._tls = context

    def connect(self) -> None:
        import socket

        bare = socket.create_connection((self._elsewhere or self.host, self.port), _TIMEOUT_S)
        try:
            self.sock = self._tls.wrap_socket(bare, server_hostname=self.host)
        except BaseException:
            bare.close()
            raise


class Signatures:
    """Checks the signatures of SNS messages. Certificates are kept, for each is used for months."""

    def __init__(self, pages: AmazonPages) -> None:
        self._pages = pages
        self._keys: dict[str, Any] = {}
        self._fetches: dict[str, asyncio.Task[Any]] = {}

    async def check(self, message: Any) -> None:
        """Check the signature of a message.

        Raises:
            NotGenuine: it is wrong.
            NotNow: it cannot be checked.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA1, SHA256

        algorithm = {"1": SHA1, "2": SHA256}.get(text(message, "SignatureVersion"))
        if algorithm is None:
            raise NotGenuine("its SignatureVersion is unknown")
        key = await self._key(text(message, "SigningCertURL"))
        try:
            signature = base64.b64decode(text(message, "Signature"), validate=True)
            key.verify(signature, _signed(message), PKCS1v15(), algorithm())
        except (InvalidSignature, binascii.Error, ValueError):
            raise NotGenuine("its signature is wrong") from None

    async def _key(self, url: str) -> Any:
        """Return the key of a certificate. Messages that come together share one fetch."""
        if url in self._keys:
            return self._keys[url]
        task = self._fetches.get(url)
        if task is None:
            task = self._fetches[url] = asyncio.create_task(self._fetched(url))
            task.add_done_callback(lambda _: self._fetches.pop(url, None))
        return await asyncio.shield(task)

    async def _fetched(self, url: str) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

        if not url.endswith(".pem") or "?" in url or "#" in url:
            raise NotGenuine("its SigningCertURL is no certificate")
        try:
            key = x509.load_pem_x509_certificate(await self._pages.fetch(url)).public_key()
        except ValueError:
            raise NotGenuine("its SigningCertURL is no certificate") from None
        if not isinstance(key, RSAPublicKey):
            raise NotGenuine("its certificate has no RSA key")
        if len(self._keys) >= _MOST_CERTIFICATES:
            self._keys.clear()
        self._keys[url] = key
        return key


def _signed(message: Any) -> bytes:
    names = _NOTIFICATION if text(message, "Type") == "Notification" else _CONFIRMATION
    pairs = [(name, message.get(name)) for name in names]
    return "".join(f"{name}\n{value}\n" for name, value in pairs if isinstance(value, str)).encode()
