"""Amazon SNS as a local HTTPS server: a certificate authority, hosts with its certificates, and signed messages."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOST = "sns.eu-west-1.amazonaws.com"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
CERTIFICATE = "/SimpleNotificationService-0123abcd.pem"

Answer = Callable[[BaseHTTPRequestHandler], None]


def certificate(
    name: str, key: rsa.RSAPrivateKey, issuer: str, issuer_key: rsa.RSAPrivateKey, *, authority: bool = False
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    named = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(named[0])
        .issuer_name(named[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if authority:
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(issuer_key, SHA256())


@dataclass
class Amazon:
    """`pages` are what it serves, by path; `asked` is what was asked of it. `trust` trusts its authority."""

    key: rsa.RSAPrivateKey
    trust: ssl.SSLContext
    port: int = 0
    pages: dict[str, bytes | Answer] = field(default_factory=dict[str, "bytes | Answer"])
    asked: list[str] = field(default_factory=list[str])

    def message(self, inner: Any = "hello", *, version: str = "2", host: str = HOST, **changes: Any) -> dict[str, Any]:
        """A notification that is signed; `changes` are made before that."""
        message = {
            "Type": "Notification",
            "MessageId": "m1",
            "TopicArn": TOPIC,
            "Message": inner if isinstance(inner, str) else json.dumps(inner),
            "Timestamp": "2026-01-01T00:00:00.000Z",
            "SignatureVersion": version,
            "SigningCertURL": f"https://{host}{CERTIFICATE}",
            **changes,
        }
        return self.signed(message)

    def confirmation(self, **changes: Any) -> dict[str, Any]:
        url = f"https://{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t"
        return self.message(
            "confirm", **{"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": url, **changes}
        )

    def signed(self, message: dict[str, Any]) -> dict[str, Any]:
        # As the documentation of SNS has it: these members, sorted by their names, if they are there.
        names = {"Message", "MessageId", "Timestamp", "TopicArn", "Type"}
        names |= {"Subject"} if message["Type"] == "Notification" else {"SubscribeURL", "Token"}
        text = "".join(f"{name}\n{message[name]}\n" for name in sorted(names) if name in message)
        algorithm = SHA1() if message["SignatureVersion"] == "1" else SHA256()
        signature = self.key.sign(text.encode(), PKCS1v15(), algorithm)
        return {**message, "Signature": base64.b64encode(signature).decode()}


@contextmanager
def amazon(folder: Path, *, name: str = HOST) -> Generator[Amazon]:
    """Serve on a port of this machine, with a certificate of `name`."""
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(3)]
    authority = certificate("authority", keys[0], "authority", keys[0], authority=True)
    own = certificate(name, keys[1], "authority", keys[0])
    chain = folder / "chain.pem"
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(private + own.public_bytes(Encoding.PEM))
    trust = ssl.create_default_context(cadata=authority.public_bytes(Encoding.PEM).decode())
    served = Amazon(keys[2], trust)
    signing = certificate("sns.amazonaws.com", keys[2], "authority", keys[0])
    served.pages[CERTIFICATE] = signing.public_bytes(Encoding.PEM)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(f"{self.headers['Host']} {self.path}")
            page = served.pages.get(self.path, served.pages.get(self.path.partition("?")[0], b""))
            if callable(page):
                page(self)
                return
            self.send_response(200 if page else 404)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Print nothing: clients of tests end in the middle of a page."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
