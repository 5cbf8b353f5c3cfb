"""The running simulator: its addresses, its faults, and what it received."""

import base64
import contextlib
import json
import unittest
import urllib.request

# Set by run.py before any test is loaded.
RUNNING = None

# Seconds an SDK may wait; faults that hang are shown quickly.
PATIENCE = 2

SUBJECT = "Grüße aus Zürich – 注文 №5 🎉"
TEXT = "Guten Tag Zoë,\n\nIhr Code: 123456.\n"
HTML = "<p>Guten Tag <b>Zoë</b>,</p>\n<p>Ihr Code: 123456 — ✓</p>\n"
ATTACHMENT = bytes(range(256)) * 5


class Simulator:
    def __init__(self, ports, smtp_source, ums):
        self.ports = ports
        self.smtp_source = smtp_source
        self.ums = ums

    def url(self, provider):
        return f"http://{self.ports[provider]}"

    def common_url(self, provider):
        """The provider's base URL on the port that serves all of them."""
        return f"{self.url('http')}/{provider}"

    def address(self, provider):
        host, port = self.ports[provider].rsplit(":", 1)
        return host, int(port)

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url('http')}/_sim/{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")

    @contextlib.contextmanager
    def fault(self, provider, mode, **settings):
        self.control("PUT", f"{provider}/fault", {"mode": mode, **settings})
        try:
            yield
        finally:
            self.control("DELETE", f"{provider}/fault")


class SimulatorTest(unittest.TestCase):
    """A test of one provider that begins with nothing received."""

    provider = None
    maxDiff = None

    def setUp(self):
        self.simulator = RUNNING
        self.simulator.control("DELETE", "messages")

    def received(self):
        return self.simulator.control("GET", f"messages?provider={self.provider}")["messages"]

    def received_one(self):
        messages = self.received()
        self.assertEqual(len(messages), 1, messages)
        return messages[0]

    def received_nothing(self):
        self.assertEqual(self.received(), [])

    @contextlib.contextmanager
    def refused(self, error, mode, **settings):
        """The SDK raises `error` while the fault is on, and nothing is recorded."""
        with self.simulator.fault(self.provider, mode, **settings):
            with self.assertRaises(error) as caught:
                yield caught
        self.received_nothing()

    def assert_email(self, message, *, to, from_address, from_name):
        self.assertEqual(message["to"], to)
        self.assertEqual(message["from"], from_address)
        self.assertEqual(message["from_name"], from_name)
        self.assertEqual(message["subject"], SUBJECT)
        self.assertEqual(message["text"].replace("\r\n", "\n"), TEXT)
        self.assertEqual(message["html"].replace("\r\n", "\n"), HTML)

    def assert_attachment(self, message, *, filename, content_type="application/octet-stream"):
        self.assertEqual(len(message["attachments"]), 1, message["attachments"])
        attachment = message["attachments"][0]
        self.assertEqual(attachment["filename"], filename)
        self.assertEqual(attachment["content_type"], content_type)
        self.assertEqual(attachment["size"], len(ATTACHMENT))


def base64_text(data):
    return base64.b64encode(data).decode()
