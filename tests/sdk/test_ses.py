"""boto3's sesv2 client."""

import json
from email.message import EmailMessage
from email.utils import formataddr

import boto3
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

import simulator
from simulator import ATTACHMENT, HTML, PATIENCE, SUBJECT, TEXT, SimulatorTest

FROM_NAME = "Zoë's Läden"
FROM = formataddr((FROM_NAME, "shop@example.com"), charset="utf-8")
TO = ["zoe@example.com", "yann@example.org"]


class Ses(SimulatorTest):
    provider = "ses"

    def setUp(self):
        super().setUp()
        at_once = Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE)
        self.connect(self.simulator.url("ses"), config=at_once)
        self.errors = self.client.exceptions

    def connect(self, url, **settings):
        self.client = boto3.client(
            "sesv2",
            region_name="eu-central-1",
            endpoint_url=url,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="any",
            **settings,
        )
        self.addCleanup(self.client.close)

    def send(self, **changes):
        request = {
            "FromEmailAddress": FROM,
            "Destination": {"ToAddresses": TO},
            "Content": {
                "Simple": {
                    "Subject": {"Data": SUBJECT, "Charset": "UTF-8"},
                    "Body": {
                        "Text": {"Data": TEXT, "Charset": "UTF-8"},
                        "Html": {"Data": HTML, "Charset": "UTF-8"},
                    },
                    "Headers": [{"Name": "X-Order", "Value": "5"}],
                    "Attachments": [
                        {
                            "RawContent": ATTACHMENT,
                            "FileName": "bill.bin",
                            "ContentType": "application/octet-stream",
                            "ContentDisposition": "ATTACHMENT",
                            "ContentTransferEncoding": "BASE64",
                        }
                    ],
                }
            },
            "EmailTags": [{"Name": "ums_message", "Value": "0199-a"}],
            "ConfigurationSetName": "events",
            "ReplyToAddresses": ["help@example.com"],
        }
        return self.client.send_email(**{**request, **changes})

    def assert_code(self, caught, status, *codes):
        response = caught.exception.response
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)
        self.assertIn(response["Error"]["Code"], codes)

    def test_simple_content_arrives_whole(self):
        answer = self.send(
            Destination={
                "ToAddresses": TO,
                "CcAddresses": ["cc@example.com"],
                "BccAddresses": ["bcc@example.com"],
            }
        )
        message = self.received_one()
        self.assertEqual(answer["MessageId"], message["id"])
        self.assertEqual(answer["ResponseMetadata"]["HTTPHeaders"]["x-ums-simulator"], "1")
        self.assert_email(message, to=TO, from_address="shop@example.com", from_name=FROM_NAME)
        self.assert_attachment(message, filename="bill.bin")
        self.assertEqual(message["cc"], ["cc@example.com"])
        self.assertEqual(message["bcc"], ["bcc@example.com"])
        self.assertEqual(message["reply_to"], ["help@example.com"])
        self.assertEqual(message["headers"]["X-Order"], "5")
        self.assertEqual(message["tags"], {"ums_message": "0199-a"})
        self.assertEqual(message["params"]["ConfigurationSetName"], "events")
        sent = json.loads(message["raw"])["Content"]["Simple"]["Attachments"][0]
        self.assertEqual(sent["RawContent"], simulator.base64_text(ATTACHMENT))

    def test_raw_content_is_read_as_mime(self):
        mime = EmailMessage()
        mime["From"] = FROM
        mime["To"] = ", ".join(TO)
        mime["Subject"] = SUBJECT
        mime.set_content(TEXT)
        mime.add_alternative(HTML, subtype="html")
        mime.add_attachment(
            ATTACHMENT, maintype="application", subtype="octet-stream", filename="Rechnung-№5.bin"
        )
        self.client.send_email(Content={"Raw": {"Data": mime.as_bytes()}})
        message = self.received_one()
        self.assert_email(message, to=TO, from_address="shop@example.com", from_name=FROM_NAME)
        self.assert_attachment(message, filename="Rechnung-№5.bin")

    def test_the_common_port_serves_too(self):
        self.connect(self.simulator.common_url("ses"))
        self.send()
        self.assertEqual(self.received_one()["to"], TO)

    def test_account_and_identity_can_be_asked(self):
        account = self.client.get_account()
        self.assertTrue(account["SendingEnabled"])
        self.assertTrue(account["ProductionAccessEnabled"])
        self.assertGreater(account["SendQuota"]["Max24HourSend"], 0)
        identity = self.client.get_email_identity(EmailIdentity="shop@example.com")
        self.assertTrue(identity["VerifiedForSendingStatus"])

    def test_throttle_is_too_many_requests(self):
        with self.refused(self.errors.TooManyRequestsException, "throttle") as caught:
            self.send()
        self.assert_code(caught, 429, "TooManyRequestsException")

    def test_a_refused_key_is_403(self):
        with self.refused(self.errors.ClientError, "unauthorized") as caught:
            self.send()
        self.assert_code(caught, 403, "UnrecognizedClientException", "InvalidClientTokenId")

    def test_a_suspended_account_is_told_as_such(self):
        with self.refused(self.errors.AccountSuspendedException, "suspended") as caught:
            self.send()
        self.assert_code(caught, 400, "AccountSuspendedException")

    def test_a_used_up_quota_is_told_in_words(self):
        with self.refused(self.errors.ClientError, "quota") as caught:
            self.send()
        self.assert_code(caught, 400, "ThrottlingException")
        self.assertIn("Daily message quota exceeded", str(caught.exception))

    def test_a_refused_recipient_is_a_bad_request(self):
        expected = (self.errors.BadRequestException, self.errors.MessageRejected)
        with self.refused(expected, "reject") as caught:
            self.send()
        self.assert_code(caught, 400, "BadRequestException", "MessageRejected")

    def test_an_error_has_the_wanted_status(self):
        for status in (500, 503):
            with self.refused(self.errors.ClientError, "error", status=status) as caught:
                self.send()
            self.assertEqual(
                caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], status
            )

    def test_a_share_of_requests_is_throttled_and_the_sdk_retries(self):
        self.connect(self.simulator.url("ses"))
        with self.simulator.fault("ses", "throttle", rate=0.5):
            for _ in range(3):
                self.send()
        self.assertEqual(len(self.received()), 3)

    def test_a_closed_port_is_a_connection_error(self):
        with self.refused(EndpointConnectionError, "refuse"):
            self.send()

    def test_a_reset_before_reading_is_a_connection_error(self):
        with self.refused(ConnectionClosedError, "reset_before"):
            self.send()

    def test_silence_is_a_read_timeout_and_recorded_when_it_comes_after(self):
        with self.refused(ReadTimeoutError, "hang"):
            self.send()
        with self.simulator.fault("ses", "hang_after"), self.assertRaises(ReadTimeoutError):
            self.send()
        self.received_one()

    def test_a_500_may_come_after_acceptance(self):
        with self.simulator.fault("ses", "accept_then_error"):
            with self.assertRaises(self.errors.ClientError):
                self.send()
        self.received_one()
