"""boto3's sns client, SMS only."""

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from simulator import PATIENCE, SimulatorTest

TO = "+14165550123"
BODY = "Ihr Code für Zoë: 123456 — 注文 🎉"


class Sns(SimulatorTest):
    provider = "sns"

    def setUp(self):
        super().setUp()
        self.connect(self.simulator.url("sns"))
        self.errors = self.client.exceptions

    def connect(self, url):
        self.client = boto3.client(
            "sns",
            region_name="ca-central-1",
            endpoint_url=url,
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
        )
        self.addCleanup(self.client.close)

    def send(self, to=TO, body=BODY):
        text = {"DataType": "String"}
        return self.client.publish(
            PhoneNumber=to,
            Message=body,
            MessageAttributes={
                "AWS.SNS.SMS.SMSType": {**text, "StringValue": "Transactional"},
                "AWS.SNS.SMS.SenderID": {**text, "StringValue": "ZoesShop"},
            },
        )

    def assert_code(self, caught, status, *codes):
        response = caught.exception.response
        self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)
        self.assertIn(response["Error"]["Code"], codes)

    def test_a_text_arrives_whole(self):
        answer = self.send()
        message = self.received_one()
        self.assertEqual(answer["MessageId"], message["id"])
        self.assertEqual(answer["ResponseMetadata"]["HTTPHeaders"]["x-ums-simulator"], "1")
        self.assertEqual(message["to"], [TO])
        self.assertEqual(message["body"], BODY)
        self.assertIn("Transactional", str(message["params"]))
        self.assertIn("ZoesShop", str(message))

    def test_the_common_port_serves_too(self):
        self.connect(self.simulator.common_url("sns"))
        self.send()
        self.assertEqual(self.received_one()["body"], BODY)

    def test_markup_in_a_text_survives(self):
        body = "a < b & c > d \"e\" 'f' +1 %20"
        self.send(body=body)
        self.assertEqual(self.received_one()["body"], body)

    def test_a_wrong_number_is_an_invalid_parameter(self):
        with self.assertRaises(self.errors.InvalidParameterException) as caught:
            self.send(to="+123")
        self.assert_code(caught, 400, "InvalidParameter")
        self.received_nothing()

    def test_throttle_is_told_as_such(self):
        with self.refused(self.errors.ClientError, "throttle") as caught:
            self.send()
        self.assertIn(
            caught.exception.response["Error"]["Code"],
            ("Throttled", "Throttling", "ThrottlingException"),
        )
        self.assertIn(
            caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], (400, 429)
        )

    def test_a_refused_key_is_403(self):
        with self.refused(self.errors.ClientError, "unauthorized") as caught:
            self.send()
        self.assert_code(
            caught, 403, "InvalidClientTokenId", "SignatureDoesNotMatch", "AuthorizationError"
        )

    def test_a_refused_recipient_is_an_invalid_parameter(self):
        with self.refused(self.errors.InvalidParameterException, "reject") as caught:
            self.send()
        self.assert_code(caught, 400, "InvalidParameter")

    def test_a_suspended_account_is_an_error_of_the_account(self):
        with self.refused(self.errors.ClientError, "suspended") as caught:
            self.send()
        status = caught.exception.response["ResponseMetadata"]["HTTPStatusCode"]
        self.assertIn(status, (400, 403))

    def test_a_used_up_quota_is_an_error(self):
        with self.refused(self.errors.ClientError, "quota") as caught:
            self.send()
        status = caught.exception.response["ResponseMetadata"]["HTTPStatusCode"]
        self.assertIn(status, (400, 429))

    def test_an_error_has_the_wanted_status(self):
        for status in (500, 503):
            with self.refused(self.errors.ClientError, "error", status=status) as caught:
                self.send()
            self.assertEqual(
                caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], status
            )

    def test_a_closed_port_is_a_connection_error(self):
        with self.refused(EndpointConnectionError, "refuse"):
            self.send()
