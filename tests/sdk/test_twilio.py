"""Twilio's own Python library."""

from urllib.parse import urlsplit, urlunsplit

import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from simulator import PATIENCE, SimulatorTest

ACCOUNT = "AC" + "0" * 32
TO = "+14165550123"
FROM = "+14165550199"
BODY = "Ihr Code für Zoë: 123456 — 注文 🎉"


class Elsewhere(TwilioHttpClient):
    """The library's documented hook for an own HTTP client: only the base URL is another."""

    def __init__(self, base):
        super().__init__(timeout=PATIENCE)
        self.base = urlsplit(base)

    def request(self, method, url, *arguments, **settings):
        parts = urlsplit(url)
        parts = self.base._replace(path=self.base.path + parts.path, query=parts.query)
        return super().request(method, urlunsplit(parts), *arguments, **settings)


class Twilio(SimulatorTest):
    provider = "twilio"

    def setUp(self):
        super().setUp()
        self.connect(self.simulator.url("twilio"))

    def connect(self, url):
        self.client = Client(ACCOUNT, "any", http_client=Elsewhere(url))

    def send(self, **changes):
        request = {"to": TO, "from_": FROM, "body": BODY, "validity_period": 600}
        return self.client.messages.create(**{**request, **changes})

    def assert_code(self, caught, status, *codes):
        self.assertEqual(caught.exception.status, status)
        self.assertIn(caught.exception.code, codes)

    def test_a_text_arrives_whole(self):
        answer = self.send(status_callback="https://example.com/hooks/twilio?m=1")
        message = self.received_one()
        self.assertEqual(answer.sid, message["id"])
        self.assertRegex(answer.sid, "^SM[0-9a-f]{32}$")
        self.assertIn(answer.status, ("queued", "accepted"))
        self.assertIsNone(answer.error_code)
        self.assertEqual(answer.body, BODY)
        self.assertEqual((answer.to, answer.from_), (TO, FROM))
        # UCS-2, one emoji of two units: one segment of at most 70.
        self.assertEqual(answer.num_segments, "1")
        self.assertIsNotNone(answer.date_created)
        self.assertEqual(message["to"], [TO])
        self.assertEqual(message["from"], FROM)
        self.assertEqual(message["body"], BODY)
        self.assertEqual(message["params"]["ValidityPeriod"], "600")
        self.assertEqual(
            message["params"]["StatusCallback"], "https://example.com/hooks/twilio?m=1"
        )

    def test_a_messaging_service_may_send(self):
        service = "MG" + "1" * 32
        answer = self.send(from_=None, messaging_service_sid=service)
        self.assertEqual(answer.messaging_service_sid, service)
        self.assertEqual(self.received_one()["from"], service)

    def test_the_common_port_serves_too(self):
        self.connect(self.simulator.common_url("twilio"))
        self.send()
        self.assertEqual(self.received_one()["body"], BODY)

    def test_the_account_can_be_asked(self):
        account = self.client.api.accounts(ACCOUNT).fetch()
        self.assertEqual(account.status, "active")

    def test_throttle_is_20429(self):
        with self.refused(TwilioRestException, "throttle") as caught:
            self.send()
        self.assert_code(caught, 429, 20429)

    def test_a_refused_token_is_20003(self):
        with self.refused(TwilioRestException, "unauthorized") as caught:
            self.send()
        self.assert_code(caught, 401, 20003)

    def test_a_suspended_account_is_told_by_its_code(self):
        with self.refused(TwilioRestException, "suspended") as caught:
            self.send()
        self.assertIn(caught.exception.code, (20003, 20005, 10001, 30002))

    def test_a_used_up_quota_is_an_error_with_a_code(self):
        with self.refused(TwilioRestException, "quota") as caught:
            self.send()
        self.assertGreater(caught.exception.code, 10000)

    def test_a_refused_recipient_is_21211(self):
        with self.refused(TwilioRestException, "reject") as caught:
            self.send()
        self.assert_code(caught, 400, 21211)

    def test_an_error_has_the_wanted_status(self):
        for status, code in [(500, 20500), (503, 20503)]:
            with self.refused(TwilioRestException, "error", status=status) as caught:
                self.send()
            self.assert_code(caught, status, code)

    def test_a_closed_port_is_a_connection_error(self):
        with self.refused(requests.exceptions.ConnectionError, "refuse"):
            self.send()

    def test_silence_is_a_read_timeout(self):
        with self.refused(requests.exceptions.ReadTimeout, "hang"):
            self.send()
