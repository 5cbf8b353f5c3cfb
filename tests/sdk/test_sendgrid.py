"""SendGrid's own Python library."""

import json
import urllib.error

from python_http_client import exceptions as errors
from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import (
    Attachment,
    Category,
    CustomArg,
    Disposition,
    Email,
    FileContent,
    FileName,
    FileType,
    Header,
    Mail,
    ReplyTo,
    To,
)

import simulator
from simulator import ATTACHMENT, HTML, SUBJECT, TEXT, SimulatorTest

FROM_NAME = "Zoë's Läden"


class SendGrid(SimulatorTest):
    provider = "sendgrid"

    def setUp(self):
        super().setUp()
        self.connect(self.simulator.url("sendgrid"))

    def connect(self, url):
        self.client = SendGridAPIClient("SG.any.key", host=url)

    def mail(self):
        mail = Mail(
            from_email=Email("shop@example.com", FROM_NAME),
            to_emails=[To("zoe@example.com", "Zoë"), To("yann@example.org")],
            subject=SUBJECT,
            plain_text_content=TEXT,
            html_content=HTML,
        )
        mail.reply_to = ReplyTo("help@example.com", "Hilfe")
        mail.add_header(Header("X-Order", "5"))
        mail.add_category(Category("receipt"))
        mail.personalizations[0].add_custom_arg(CustomArg("ums_message", "0199-a"))
        mail.add_attachment(
            Attachment(
                FileContent(simulator.base64_text(ATTACHMENT)),
                FileName("Rechnung-№5.bin"),
                FileType("application/octet-stream"),
                Disposition("attachment"),
            )
        )
        return mail

    def send(self):
        return self.client.send(self.mail())

    def test_a_mail_arrives_whole(self):
        answer = self.send()
        self.assertEqual(answer.status_code, 202)
        self.assertEqual(answer.body, b"")
        self.assertEqual(answer.headers["x-ums-simulator"], "1")
        message = self.received_one()
        self.assertEqual(answer.headers["X-Message-Id"], message["id"])
        self.assert_email(
            message,
            to=["zoe@example.com", "yann@example.org"],
            from_address="shop@example.com",
            from_name=FROM_NAME,
        )
        self.assert_attachment(message, filename="Rechnung-№5.bin")
        self.assertEqual(message["reply_to"], ["help@example.com"])
        self.assertEqual(message["headers"]["X-Order"], "5")
        self.assertIn("receipt", message["tags"])
        self.assertEqual(message["custom_args"], {"ums_message": "0199-a"})
        sent = json.loads(message["raw"])["attachments"][0]
        self.assertEqual(sent["content"], simulator.base64_text(ATTACHMENT))

    def test_the_common_port_serves_too(self):
        self.connect(self.simulator.common_url("sendgrid"))
        self.assertEqual(self.send().status_code, 202)
        self.assertEqual(self.received_one()["subject"], SUBJECT)

    def test_the_scopes_of_a_key_can_be_asked(self):
        answer = self.client.client.scopes.get()
        self.assertEqual(answer.status_code, 200)
        self.assertIn("mail.send", json.loads(answer.body)["scopes"])

    def test_throttle_is_too_many_requests(self):
        with self.refused(errors.TooManyRequestsError, "throttle") as caught:
            self.send()
        self.assertEqual(caught.exception.status_code, 429)
        self.assertTrue(caught.exception.to_dict["errors"][0]["message"])

    def test_a_refused_key_is_unauthorized(self):
        with self.refused(errors.UnauthorizedError, "unauthorized") as caught:
            self.send()
        self.assertEqual(caught.exception.status_code, 401)
        self.assertIn("authorization", str(caught.exception.to_dict).lower())

    def test_a_suspended_account_is_refused(self):
        expected = (errors.ForbiddenError, errors.UnauthorizedError)
        with self.refused(expected, "suspended"):
            self.send()

    def test_a_used_up_quota_is_told_in_words(self):
        with self.refused(errors.UnauthorizedError, "quota") as caught:
            self.send()
        self.assertIn("Maximum credits exceeded", str(caught.exception.to_dict))

    def test_a_refused_recipient_is_a_bad_request_at_its_field(self):
        with self.refused(errors.BadRequestsError, "reject") as caught:
            self.send()
        self.assertTrue(caught.exception.to_dict["errors"][0]["field"].startswith("personalizations"))

    def test_an_error_has_the_wanted_type(self):
        for status, error in [
            (500, errors.InternalServerError),
            (503, errors.ServiceUnavailableError),
        ]:
            with self.refused(error, "error", status=status) as caught:
                self.send()
            self.assertEqual(caught.exception.status_code, status)

    def test_a_closed_port_is_a_url_error(self):
        with self.refused(urllib.error.URLError, "refuse"):
            self.send()

    def test_a_500_may_come_after_acceptance(self):
        with self.simulator.fault("sendgrid", "accept_then_error"):
            with self.assertRaises(errors.InternalServerError):
                self.send()
        self.received_one()
