"""What we post to an application, judged by the library of Standard Webhooks."""

import tempfile
import unittest

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from receiver import Receiver
from service import Service

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
