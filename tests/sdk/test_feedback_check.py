"""What others signed, judged by `ums feedback check`."""

import base64
import copy
import datetime
import json
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twilio.request_validator import RequestValidator

import simulator
import sns_envelope

TOPIC = "arn:aws:sns:us-east-1:123456789012:ums"


class Check(unittest.TestCase):
    def check(self, provider, body, *, headers=(), **options):
        command = [str(simulator.RUNNING.ums), "feedback", "check", "--provider", provider]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        for name, value in headers:
            command += ["--header", f"{name}: {value}"]
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(
                command,
                input=body.encode(),
                capture_output=True,
                cwd=folder,
                env={"HOME": folder},
                timeout=30,
            )
        self.assertIn(ended.returncode, (0, 1), ended.stderr.decode())
        checked = json.loads(ended.stdout)
        self.assertEqual(ended.returncode == 1, checked["signature"] == "invalid", checked)
        return checked

    def assert_valid(self, checked, *kinds):
        self.assertEqual(checked["signature"], "valid", checked)
        self.assertEqual([event["kind"] for event in checked["events"]], list(kinds))

    def assert_invalid(self, checked, note=None):
        self.assertEqual(checked["signature"], "invalid", note)


class Amazon(Check):
    def setUp(self):
        self.signer = sns_envelope.Signer()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.certificate = Path(folder) / "sns.pem"
        self.certificate.write_text(self.signer.certificate_pem)

    def envelope(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        event = {
            "eventType": "Delivery",
            "mail": {
                "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "messageId": "0100-example",
                "destination": ["zoe@example.com"],
                "tags": {},
            },
            "delivery": {
                "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "recipients": ["zoe@example.com"],
                "smtpResponse": "250 ok",
            },
        }
        return {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Subject": "Amazon SES Email Event Notification",
            "Message": json.dumps(event),
            "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        }

    def verdict(self, envelope, certificate=None):
        headers = [("x-amz-sns-message-type", "Notification")]
        body = json.dumps(envelope)
        return self.check("aws_ses", body, cert=certificate or self.certificate, headers=headers)

    def test_both_versions_are_accepted_and_a_changed_byte_is_not(self):
        for version in ("1", "2"):
            signed = self.signer.sign(self.envelope(), version)
            self.assert_valid(self.verdict(signed), "delivered")
            for field in ("MessageId", "TopicArn", "Subject", "Timestamp"):
                last = "1" if signed[field][-1] != "1" else "2"
                changed = {**signed, field: signed[field][:-1] + last}
                self.assert_invalid(self.verdict(changed), (version, field))
            changed = {**signed, "Message": signed["Message"].replace("zoe@", "zod@")}
            self.assert_invalid(self.verdict(changed), (version, "Message"))

    def test_a_version_is_no_other(self):
        for version, other in (("1", "2"), ("2", "1")):
            signed = self.signer.sign(self.envelope(), version)
            self.assert_invalid(self.verdict({**signed, "SignatureVersion": other}), version)

    def test_another_key_is_refused(self):
        signed = sns_envelope.Signer().sign(self.envelope(), "2")
        self.assert_invalid(self.verdict(signed))

    def test_the_subject_may_be_missing(self):
        envelope = self.envelope()
        del envelope["Subject"]
        self.assert_valid(self.verdict(self.signer.sign(envelope, "2")), "delivered")


class SendGrid(Check):
    def setUp(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public = base64.b64encode(public).decode()
        self.at = int(time.time())
        events = [
            {
                "email": "zoe@example.com",
                "timestamp": self.at,
                "event": "bounce",
                "type": "bounce",
                "reason": "550 5.1.1 user unknown",
                "status": "5.1.1",
                "sg_event_id": "one",
                "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001",
            },
            {
                "email": "ann@example.com",
                "timestamp": self.at,
                "event": "delivered",
                "response": "250 OK",
                "sg_event_id": "two",
                "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001",
            },
        ]
        self.body = "[" + ",\r\n".join(json.dumps(event) for event in events) + "]\r\n"

    def verdict(self, body, at=None, signed_at=None):
        at = at or self.at
        signed = f"{signed_at or self.at}{self.body}".encode()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        headers = [
            ("X-Twilio-Email-Event-Webhook-Signature", base64.b64encode(signature).decode()),
            ("X-Twilio-Email-Event-Webhook-Timestamp", str(at)),
        ]
        return self.check("sendgrid", body, key=self.public, headers=headers)

    def test_a_batch_is_accepted_and_a_changed_byte_is_not(self):
        self.assert_valid(self.verdict(self.body), "bounced", "delivered")
        self.assert_invalid(self.verdict(self.body.replace("zoe@", "zod@")))
        self.assert_invalid(self.verdict(self.body.rstrip()))
        self.assert_invalid(self.verdict(self.body, at=self.at + 1))


class Twilio(Check):
    TOKEN = "12345678901234567890123456789012"
    URL = "https://example.com/hooks/twilio?ums_message_id=0199-a&x=a%20b"
    FORM = {
        "MessageSid": "SM" + "0" * 32,
        "SmsSid": "SM" + "0" * 32,
        "AccountSid": "AC" + "0" * 32,
        "MessageStatus": "undelivered",
        "SmsStatus": "undelivered",
        "ErrorCode": "30005",
        "To": "+14165550123",
        "From": "+15005550006",
        "ApiVersion": "2010-04-01",
        "ErrorMessage": "",
    }

    def verdict(self, form, *, token=TOKEN, url=URL, signature=None):
        signature = signature or RequestValidator(self.TOKEN).compute_signature(self.URL, self.FORM)
        headers = [
            ("X-Twilio-Signature", signature),
            ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),
        ]
        return self.check("twilio", urlencode(form), key=token, url=url, headers=headers)

    def test_a_callback_is_accepted_and_a_changed_byte_is_not(self):
        checked = self.verdict(self.FORM)
        self.assertEqual(checked["signature"], "valid", checked)
        self.assertEqual(checked["events"][0]["provider_message_id"], self.FORM["MessageSid"])
        for name in self.FORM:
            changed = copy.copy(self.FORM)
            changed[name] += "0"
            self.assert_invalid(self.verdict(changed), name)
        self.assert_invalid(self.verdict({**self.FORM, "New": ""}), "a field more")
        self.assert_invalid(self.verdict(self.FORM, token="another token"))
        self.assert_invalid(self.verdict(self.FORM, url=self.URL + "1"))

    def test_both_spellings_of_the_port_are_accepted(self):
        validator = RequestValidator(self.TOKEN)
        for url in (self.URL, self.URL.replace("example.com", "example.com:443")):
            signature = validator.compute_signature(url, self.FORM)
            checked = self.verdict(self.FORM, signature=signature)
            self.assertEqual(checked["signature"], "valid", url)

    def test_json_is_accepted_by_its_digest(self):
        validator = RequestValidator(self.TOKEN)
        body = json.dumps(self.FORM)
        url = f"https://example.com/hooks/twilio?bodySHA256={validator.compute_hash(body)}"
        headers = [
            ("X-Twilio-Signature", validator.compute_signature(url, {})),
            ("Content-Type", "application/json"),
        ]
        checked = self.check("twilio", body, key=self.TOKEN, url=url, headers=headers)
        self.assertEqual(checked["signature"], "valid", checked)
        changed = body.replace("30005", "30006")
        checked = self.check("twilio", changed, key=self.TOKEN, url=url, headers=headers)
        self.assert_invalid(checked)


class Bounces(simulator.SimulatorTest):
    provider = "smtp"

    def test_a_report_of_the_simulator_is_read(self):
        import smtplib

        host, port = self.simulator.address("smtp")
        with self.simulator.fault("smtp", "bounce"), smtplib.SMTP(host, port) as smtp:
            smtp.ehlo()
            smtp.sendmail(
                "shop@example.com",
                ["zoe@example.com"],
                "From: shop@example.com\r\nTo: zoe@example.com\r\n"
                "Message-ID: <0199-a@example.com>\r\nSubject: Hello\r\n\r\nHello\r\n",
            )
        (bounce,) = self.simulator.control("GET", "bounces")["bounces"]
        checked = Check().check("smtp", bounce["dsn"])
        self.assertEqual([event["kind"] for event in checked["events"]], ["bounced"])
        self.assertEqual(checked["events"][0]["recipient"], "zoe@example.com")
        self.assertEqual(checked["events"][0]["bounce"], "hard")
