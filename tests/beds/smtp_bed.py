"""A real SMTP server that fails on request, for tests of what we send and how we read replies.

Listeners, all on 127.0.0.1: plain, STARTTLS (mandatory), implicit TLS, and implicit TLS with a
certificate for another name. AUTH PLAIN and LOGIN know one user; the TLS listeners insist on it.

A reply is forced through an address, so that no state is shared between tests:

  mail-550-5-7-0@…  as sender      550 5.7.0 to MAIL
  rcpt-550-5-1-1@…  as recipient   550 5.1.1 to RCPT
  data-451-4-3-0@…  as recipient   451 4.3.0 after the final dot, nothing is kept
  drop-at-mail@…    as sender      the connection is closed instead of a reply to MAIL
  drop-at-rcpt@…    as recipient   the same at RCPT
  drop-after-dot@…  as recipient   the message is kept, the connection closed without a reply
  hang-at-mail@…, hang-at-rcpt@…, hang-after-dot@…   the same, with silence until the client leaves

A further listener, in clear, has no manners, as servers of the field have none:

  - it announces AUTH PLAIN LOGIN and knows LOGIN only: aiosmtpd answers 504 to PLAIN;
  - it announces DSN and knows none of its parameters: aiosmtpd answers 555 to them;
  - it lets the second message of a connection begin only to say that the session has timed out.

Control over HTTP: `GET /messages` gives {"messages": […], "connections": n, "noops": n}, oldest
first, and `DELETE /messages` forgets them all.
"""

import argparse
import asyncio
import base64
import datetime
import ipaddress
import json
import logging
import os
import re
import socket
import ssl
import warnings
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

USER = b"user@example.com"
PASSWORD = b"bed-password"
# Octets; small enough that a test reaches it quickly.
SIZE_LIMIT = 10 * 1024 * 1024
FORCED = re.compile(r"^(mail|rcpt|data)-(\d{3})-(\d)-(\d{1,3})-(\d{1,3})$")


class Store:
    """What arrived, and how."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.messages = []
        self.connections = 0
        self.noops = 0

    def as_json(self):
        return json.dumps(vars(self)).encode()


def local_part(address):
    return (address or "").rsplit("@", 1)[0].lower()


def forced_reply(address, stage):
    """The reply that an address asks for at this stage, if any."""
    match = FORCED.match(local_part(address))
    if match and match[1] == stage:
        return f"{match[2]} {match[3]}.{match[4]}.{match[5]} forced by the address"
    return None


class Handler:
    """Keeps what arrives at one listener and gives the replies that addresses ask for."""

    def __init__(self, listener, store):
        self.listener = listener
        self.store = store

    async def misbehave(self, server, address, place):
        """Closes the connection or falls silent, if the address asks for it here."""
        name = local_part(address)
        if name == f"drop-{place}":
            server.transport.abort()
        if name in (f"drop-{place}", f"hang-{place}"):
            # The session's task is cancelled when the connection is lost.
            await asyncio.Event().wait()

    async def handle_NOOP(self, server, session, envelope, arg):
        self.store.noops += 1
        return "250 OK"

    async def handle_MAIL(self, server, session, envelope, address, options):
        await self.misbehave(server, address, "at-mail")
        reply = forced_reply(address, "mail")
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 sender ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        await self.misbehave(server, address, "at-rcpt")
        reply = forced_reply(address, "rcpt")
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            reply = forced_reply(address, "data")
            if reply:
                return reply
        login = session.auth_data.login.decode() if session.authenticated else None
        self.store.messages.append(
            {
                "listener": self.listener,
                "connection": server.connection_number,
                "helo": session.host_name,
                "extended": session.extended_smtp,
                "tls": server.transport.get_extra_info("cipher") is not None,
                "login": login,
                "mail_from": envelope.mail_from,
                "mail_options": envelope.mail_options,
                "rcpt_tos": envelope.rcpt_tos,
                "rcpt_options": envelope.rcpt_options,
                "raw_base64": base64.b64encode(envelope.original_content).decode(),
            }
        )
        for address in envelope.rcpt_tos:
            await self.misbehave(server, address, "after-dot")
        return f"250 2.0.0 kept as {len(self.store.messages)}"


class CountingSMTP(SMTP):
    """Numbers its connections, so that reuse can be seen."""

    def connection_made(self, transport):
        # STARTTLS makes the same connection a second time.
        if not hasattr(self, "connection_number"):
            store = self.event_handler.store
            store.connections += 1
            self.connection_number = store.connections
        super().connection_made(transport)


class Unmannerly(Handler):
    """Announces what the server does not do, and gives up a session after one message."""

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        announced = [line.replace("AUTH LOGIN", "AUTH PLAIN LOGIN") for line in responses]
        assert announced != responses, responses
        return announced[:-1] + ["250-DSN"] + announced[-1:]

    async def handle_MAIL(self, server, session, envelope, address, options):
        if getattr(server, "began", False):
            await server.push("451 4.4.2 Timeout waiting for client input")
            server.transport.close()
            await asyncio.Event().wait()
        server.began = True
        return await super().handle_MAIL(server, session, envelope, address, options)


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    # `handled=False`: aiosmtpd gives the refusal, 535 5.7.8.
    return AuthResult(success=good, handled=False, auth_data=data if good else None)


def build_key():
    return ec.generate_private_key(ec.SECP256R1())


def build_certificate(subject, key, issuer, issuer_key, extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def write_pem(path, certificate, key=None):
    data = certificate.public_bytes(serialization.Encoding.PEM)
    if key is not None:
        data += key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    path.write_bytes(data)


def make_certificates(folder):
    """A fresh CA and two servers' certificates; gives the paths of CA, server, other."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = build_key()
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test bed CA")])
    ca = build_certificate(
        ca_name, ca_key, ca_name, ca_key, [(x509.BasicConstraints(ca=True, path_length=0), True)]
    )
    ca_file = folder / "ca.pem"
    write_pem(ca_file, ca)

    loopback = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    files = [ca_file]
    for name, alternatives in [
        ("server", loopback),
        ("other", [x509.DNSName("elsewhere.example.com")]),
    ]:
        key = build_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.SubjectAlternativeName(alternatives), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        ]
        path = folder / f"{name}.pem"
        write_pem(path, build_certificate(subject, key, ca_name, ca_key, extensions), key)
        files.append(path)
    return files


def server_context(pem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def bound_socket():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    return listener


def address_of(server):
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"


async def listen(name, store, starttls=None, implicit=None, unmannerly=False):
    loop = asyncio.get_running_loop()

    def session():
        return CountingSMTP(
            Unmannerly(name, store) if unmannerly else Handler(name, store),
            hostname="bed.example.com",
            ident="test bed",
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=False,
            authenticator=authenticate,
            auth_required=bool(starttls or implicit or unmannerly),
            auth_exclude_mechanism=["PLAIN"] if unmannerly else None,
            # To aiosmtpd only STARTTLS is TLS.
            auth_require_tls=bool(starttls),
            tls_context=starttls,
            require_starttls=bool(starttls),
            timeout=120,
            loop=loop,
        )

    server = await loop.create_server(session, sock=bound_socket(), ssl=implicit)
    return address_of(server)


async def control(store, reader, writer):
    """Answers one request of the control interface."""
    request = (await reader.readline()).decode("latin-1").split()
    while (await reader.readline()).strip():
        pass
    status, body = "404 Not Found", b"{}"
    if request[1:2] == ["/messages"]:
        if request[0] == "GET":
            status, body = "200 OK", store.as_json()
        elif request[0] == "DELETE":
            store.forget()
            status = "200 OK"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()


async def serve(arguments):
    store = Store()
    ca_file, server_pem, other_pem = make_certificates(arguments.tls_dir)
    http = await asyncio.start_server(
        lambda reader, writer: control(store, reader, writer), sock=bound_socket()
    )
    ports = {
        "plain": await listen("plain", store),
        "starttls": await listen("starttls", store, starttls=server_context(server_pem)),
        "tls": await listen("tls", store, implicit=server_context(server_pem)),
        "wrong_name": await listen("wrong_name", store, implicit=server_context(other_pem)),
        "manners": await listen("manners", store, unmannerly=True),
        "control": f"http://{address_of(http)}",
        "ca_file": str(ca_file.resolve()),
    }
    # Written under another name first: whoever sees the file may read all of it.
    unfinished = arguments.ports_file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(ports))
    os.replace(unfinished, arguments.ports_file)
    await asyncio.Event().wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tls-dir", type=Path, required=True)
    parser.add_argument("--ports-file", type=Path, required=True)
    logging.basicConfig(level=logging.WARNING)
    # AUTH without TLS is meant here: see `listen`.
    warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
