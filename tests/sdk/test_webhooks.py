"""What we post to an application, judged by the library of Standard Webhooks."""

import json
import subprocess
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

import simulator
from receiver import Receiver

PORTS = ("http", "ses", "sns", "sendgrid", "twilio", "smtp")
# Seconds the service has to start.
START = 60


class Service:
    """`ums dev` on free ports, in an empty folder."""

    def __init__(self, folder):
        file = Path(folder) / "ports.json"
        command = [str(simulator.RUNNING.ums), "dev", "--listen", "127.0.0.1:0"]
        command += ["--data", folder, "--ports-file", str(file)]
        for name in PORTS:
            command += [f"--{name}-port", "0"]
        self.log = open(Path(folder) / "log", "wb")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, cwd=folder, env={"HOME": folder}
        )
        end = time.monotonic() + START
        while not file.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError((Path(folder) / "log").read_text())
            # Sleeps because another process starts.
            time.sleep(0.05)
        self.url = f"http://{json.loads(file.read_text())['service']}"

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"null")


class Webhooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.service = Service(folder)
        cls.addClassCleanup(cls.service.stop)

    def setUp(self):
        self.receiver = self.enterContext(Receiver.running())

    def endpoint(self, **fields):
        made = self.service.call("POST", "/v1/webhooks", {"url": self.receiver.url + "/in", **fields})
        self.addCleanup(self.service.call, "DELETE", f"/v1/webhooks/{made['id']}")
        return made

    def send(self):
        email = {"to": "zoe@example.com", "subject": "Grüße", "text_content": "Guten Tag Zoë"}
        return self.service.call("POST", "/v1/emails", email)["message_id"]

    def assert_refused(self, secret, body, headers):
        with self.assertRaises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)

    def test_the_library_accepts_what_we_post_and_no_other(self):
        endpoint = self.endpoint()
        (secret,) = endpoint["secrets"]
        message_id = self.send()
        # sent, then delivered: the simulator reports to the service that it is part of.
        posts = self.receiver.wait_for(2, message_id)
        kinds = []
        for post in posts:
            notice = Webhook(secret).verify(post.body, post.headers)
            self.assertEqual(notice["data"]["message_id"], message_id)
            self.assertNotIn("Guten Tag", post.body.decode())
            kinds.append(notice["type"])
            changed = bytearray(post.body)
            changed[len(changed) // 2] ^= 1
            self.assert_refused(secret, changed.decode(errors="replace"), post.headers)
            later = str(int(post.header("webhook-timestamp")) + 1)
            self.assert_refused(secret, post.body, {**post.headers, "webhook-timestamp": later})
            self.assert_refused(secret, post.body, {**post.headers, "webhook-id": "another"})
            self.assert_refused("whsec_" + "A" * 43 + "=", post.body, post.headers)
        self.assertEqual(sorted(kinds), ["message.delivered", "message.sent"])
        self.assertEqual(len({post.header("webhook-id") for post in posts}), 2)

    def test_both_secrets_are_good_during_a_rotation(self):
        endpoint = self.endpoint(events=["message.sent"])
        (old,) = endpoint["secrets"]
        rotated = self.service.call("POST", f"/v1/webhooks/{endpoint['id']}/rotate", {})
        new = rotated["secrets"][0]
        self.assertNotEqual(old, new)
        (post,) = self.receiver.wait_for(1, self.send())
        Webhook(old).verify(post.body, post.headers)
        Webhook(new).verify(post.body, post.headers)

    def test_a_test_is_signed_too(self):
        endpoint = self.endpoint()
        (secret,) = endpoint["secrets"]
        self.service.call("POST", f"/v1/webhooks/{endpoint['id']}/test")
        (post,) = self.receiver.wait_for(1, "test.ping")
        Webhook(secret).verify(post.body, post.headers)
