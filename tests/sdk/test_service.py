"""The whole way: a provider's signed report of somebody who wants no more, and what the service does then."""

import tempfile
import time
import unittest

from receiver import PATIENCE
from service import Service


class OptOut(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.service = Service(folder)
        cls.addClassCleanup(cls.service.stop)

    def email(self, to, **fields):
        body = {"to": to, "subject": "Hello", "text_content": "Hello", **fields}
        return self.service.call("POST", "/v1/emails", body)

    def sms(self, to, **fields):
        return self.service.call("POST", "/v1/sms", {"to": to, "message_body": "Hello", **fields})

    def report(self, to, **event):
        (message,) = self.messages(to)
        self.service.control("POST", f"messages/{message['seq']}/events", event)

    def messages(self, to):
        return self.service.control("GET", f"messages?to={to.replace('+', '%2B')}")["messages"]

    def entry(self, address):
        def found():
            listed = self.service.call("GET", "/v1/suppressions?limit=500")["data"]
            return [entry for entry in listed if entry["address"] == address]

        return self.wait_for(found, f"{address} is not on the list")[0]

    def wait_for(self, found, otherwise):
        end = time.monotonic() + PATIENCE
        while not (it := found()):
            if time.monotonic() > end:
                raise AssertionError(otherwise)
            # Sleeps because another process reports.
            time.sleep(0.05)
        return it

    def test_a_complaint_ends_mail_by_every_provider(self):
        for number, provider in enumerate(("aws_ses", "sendgrid")):
            to = f"complains-{number}@example.com"
            self.email(to, via=provider)
            self.report(to, event="complaint")
            self.assertEqual(self.entry(to)["reason"], "complaint")
            for other in ("aws_ses", "sendgrid", "smtp"):
                self.assertEqual(self.email(to.upper(), via=other)["status"], "suppressed")
            self.assertEqual(len(self.messages(to)), 1)

    def test_a_stop_ends_texts_by_every_provider(self):
        to = "+14165550142"
        self.sms(to, via="twilio")
        self.report(to, event="reply", text="Stop")
        self.assertEqual(self.entry(to)["reason"], "stop")
        for provider in ("aws_sns", "twilio"):
            self.assertEqual(self.sms(to, via=provider)["status"], "unsubscribed")
        self.assertEqual(len(self.messages(to)), 1)

    def test_an_unsubscribe_ends_newsletters_and_keeps_no_receipt_and_no_code(self):
        to = "leaves@example.com"
        self.email(to, via="sendgrid", purpose="bulk")
        self.report(to, event="unsubscribe")
        self.assertEqual(self.entry(to)["scope"], "bulk")
        for provider in ("aws_ses", "sendgrid", "smtp"):
            self.assertEqual(self.email(to, via=provider, purpose="bulk")["status"], "unsubscribed")
        self.assertEqual(len(self.messages(to)), 1)
        for purpose in ("transactional", "otp"):
            self.assertEqual(self.email(to, purpose=purpose)["status"], "sent")
        self.assertEqual(len(self.messages(to)), 3)

    def test_a_full_mailbox_is_no_reason(self):
        for number, provider in enumerate(("aws_ses", "sendgrid")):
            to = f"full-{number}@example.com"
            message_id = self.email(to, via=provider)["message_id"]
            self.report(to, event="soft_bounce")
            self.wait_for(lambda: "bounced" in self.kinds(message_id), "the bounce is not in the story")
            listed = self.service.call("GET", "/v1/suppressions?limit=500")["data"]
            self.assertNotIn(to, [entry["address"] for entry in listed])
            self.assertEqual(self.email(to, via=provider)["status"], "sent")

    def kinds(self, message_id):
        story = self.service.call("GET", f"/v1/messages/{message_id}")
        return [event["kind"] for event in story["events"]]
