"""The simulator's feedback, judged by the providers' own validators."""

import json
import time
from urllib.parse import parse_qsl

import boto3
from botocore.config import Config
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from sendgrid.helpers.mail import CustomArg, Mail
from twilio.request_validator import RequestValidator
from twilio.rest import Client

import sns_envelope
from receiver import PATIENCE as LONG
from receiver import Receiver
from simulator import PATIENCE, SUBJECT, TEXT, SimulatorTest
from test_twilio import ACCOUNT, BODY, FROM, TO, Elsewhere

TOKEN = "a token of 32 hexadecimal digits"


class Feedback(SimulatorTest):
    def setUp(self):
        super().setUp()
        self.receiver = self.enterContext(Receiver.running())
        self.report(duplicates=[2, 2], shuffle=True)
        self.addCleanup(self.report)

    def report(self, **settings):
        url = self.receiver.url
        self.simulator.control("PUT", "feedback", {"to": url, "delay_ms": [0, 50], **settings})

    def keys(self):
        return self.simulator.control("GET", "keys")

    def aws(self, service):
        client = boto3.client(
            service,
            region_name="ca-central-1",
            endpoint_url=self.simulator.url("ses" if service == "sesv2" else "sns"),
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key="any",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
        )
        self.addCleanup(client.close)
        return client


class Ses(Feedback):
    provider = "ses"

    def send(self):
        answer = self.aws("sesv2").send_email(
            FromEmailAddress="shop@example.com",
            Destination={"ToAddresses": ["zoe@example.com"]},
            Content={"Simple": {"Subject": {"Data": SUBJECT}, "Body": {"Text": {"Data": TEXT}}}},
            EmailTags=[{"Name": "ums_message_id", "Value": "0199-a"}],
        )
        return answer["MessageId"]

    def events(self, posts):
        envelopes = [json.loads(post.body) for post in posts]
        return [json.loads(envelope["Message"]) for envelope in envelopes]

    def test_a_notification_verifies_and_no_other_does(self):
        sent = self.send()
        posts = self.receiver.wait_for(4)
        keys = self.keys()
        for post in posts:
            self.assertEqual(post.path, "/hooks/aws")
            envelope = json.loads(post.body)
            self.assertEqual(envelope["TopicArn"], keys["topic_arn"])
            self.assertEqual(envelope["SigningCertURL"], keys["certificate_url"])
            self.assertTrue(sns_envelope.verify(envelope, keys["certificate_pem"]))
            for field in ("Message", "MessageId", "Subject", "Timestamp", "TopicArn"):
                changed = {**envelope, field: envelope[field][:-1] + "~"}
                self.assertFalse(sns_envelope.verify(changed, keys["certificate_pem"]), field)
            other = sns_envelope.Signer()
            self.assertFalse(sns_envelope.verify(envelope, other.certificate_pem))
        events = self.events(posts)
        self.assertEqual(sorted(event["eventType"] for event in events), ["Delivery"] * 2 + ["Send"] * 2)
        for event in events:
            self.assertEqual(event["mail"]["messageId"], sent)
            self.assertEqual(event["mail"]["tags"]["ums_message_id"], ["0199-a"])
        # A copy has the same id: that is how it is told from another event.
        self.assertEqual(len({json.loads(post.body)["MessageId"] for post in posts}), 2)

    def test_a_bounce_is_permanent(self):
        with self.simulator.fault("ses", "bounce"):
            self.send()
        events = self.events(self.receiver.wait_for(4))
        bounce = next(event["bounce"] for event in events if event["eventType"] == "Bounce")
        self.assertEqual(bounce["bounceType"], "Permanent")
        self.assertEqual(bounce["bouncedRecipients"][0]["emailAddress"], "zoe@example.com")


class SendGrid(Feedback):
    provider = "sendgrid"

    def test_the_event_webhook_helper_accepts_it_and_no_other(self):
        mail = Mail("shop@example.com", "zoe@example.com", SUBJECT, TEXT)
        mail.personalizations[0].add_custom_arg(CustomArg("ums_message_id", "0199-a"))
        answer = SendGridAPIClient("SG.any.key", host=self.simulator.url("sendgrid")).send(mail)
        helper = EventWebhook(self.keys()["sendgrid_public_key"])
        events = []
        while len(events) < 4:
            events = []
            for post in self.receiver.wait_for(1):
                events += json.loads(post.body)
            # Sleeps because another process posts, in as many requests as it likes.
            time.sleep(0.05)
        for post in self.receiver.posts:
            self.assertEqual(post.path, "/hooks/sendgrid")
            signature = post.header(EventWebhookHeader.SIGNATURE)
            at = post.header(EventWebhookHeader.TIMESTAMP)
            body = post.body.decode()
            self.assertTrue(helper.verify_signature(body, signature, at))
            self.assertFalse(helper.verify_signature(body.replace("0199-a", "0199-b"), signature, at))
            self.assertFalse(helper.verify_signature(body.rstrip(), signature, at))
            self.assertFalse(helper.verify_signature(body, signature, str(int(at) + 1)))
        message_id = answer.headers["X-Message-Id"]
        for event in events:
            self.assertEqual(event["ums_message_id"], "0199-a")
            self.assertTrue(event["sg_message_id"].startswith(message_id))
        self.assertEqual(len({event["sg_event_id"] for event in events}), 2)


class Twilio(Feedback):
    provider = "twilio"

    def setUp(self):
        super().setUp()
        http = Elsewhere(self.simulator.url("twilio"))
        self.client = Client(ACCOUNT, TOKEN, http_client=http)

    def send(self, **changes):
        return self.client.messages.create(**{"to": TO, "from_": FROM, "body": BODY, **changes})

    def test_the_request_validator_accepts_it_and_no_other(self):
        path = "/hooks/twilio?ums_message_id=0199-a&x=a%20b"
        answer = self.send(status_callback=self.receiver.url + path)
        posts = self.receiver.wait_for(4)
        statuses = []
        for post in posts:
            self.assertEqual(post.path, path)
            url = self.receiver.url + post.path
            form = dict(parse_qsl(post.body.decode(), keep_blank_values=True))
            signature = post.header("X-Twilio-Signature")
            self.assertTrue(RequestValidator(TOKEN).validate(url, form, signature))
            self.assertFalse(RequestValidator("other").validate(url, form, signature))
            self.assertFalse(RequestValidator(TOKEN).validate(url + "1", form, signature))
            for name in form:
                changed = {**form, name: form[name] + "0"}
                self.assertFalse(RequestValidator(TOKEN).validate(url, changed, signature), name)
            self.assertEqual(form["MessageSid"], answer.sid)
            statuses.append(form["MessageStatus"])
        self.assertEqual(sorted(statuses), ["delivered", "delivered", "sent", "sent"])

    def test_nobody_else_is_called(self):
        with Receiver.running() as other:
            self.send(status_callback=other.url + "/hooks/twilio")
            self.send(status_callback=self.receiver.url + "/hooks/twilio")
            self.receiver.wait_for(4)
            self.assertEqual(other.posts, [])

    def test_messages_are_listed_by_the_library(self):
        sids = [self.send(body=f"{number}").sid for number in range(5)]
        listed = self.client.messages.list(to=TO, page_size=2)
        self.assertEqual([message.sid for message in listed], sids[::-1])
        self.assertEqual({message.status for message in listed}, {"delivered"})
        at = listed[0].date_sent
        self.assertEqual(len(self.client.messages.list(date_sent_after=at.date(), page_size=2)), 5)
        self.assertEqual(len(self.client.messages.list(date_sent=at.date())), 5)
        self.assertEqual(self.client.messages.list(date_sent_before=at.date()), [])
        self.assertEqual(self.client.messages.list(from_="+14165550000"), [])
        self.assertEqual(self.client.messages(sids[0]).fetch().body, "0")

    def test_a_bounce_is_undelivered_with_its_code(self):
        with self.simulator.fault("twilio", "bounce"):
            sid = self.send(status_callback=self.receiver.url + "/hooks/twilio").sid
        forms = [dict(parse_qsl(post.body.decode())) for post in self.receiver.wait_for(4)]
        codes = {form.get("ErrorCode") for form in forms if form["MessageStatus"] == "undelivered"}
        self.assertEqual(codes, {"30005"})
        self.assertEqual(self.client.messages(sid).fetch().error_code, 30005)


class Sns(Feedback):
    provider = "sns"

    def test_delivery_is_read_from_the_logs(self):
        self.report(delay_ms=[0, 0], duplicates=[3, 3])
        group = "sns/ca-central-1/000000000000/DirectPublishToPhoneNumber"
        sns, logs = self.aws("sns"), self.aws("logs")
        ids = [sns.publish(PhoneNumber=TO, Message=BODY)["MessageId"] for _ in range(2)]
        with self.simulator.fault("sns", "bounce"):
            failed = sns.publish(PhoneNumber=TO, Message=BODY)["MessageId"]

        groups = logs.describe_log_groups(logGroupNamePrefix="sns/")["logGroups"]
        self.assertIn(group, [found["logGroupName"] for found in groups])
        records = []
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            startTime=int((time.time() - LONG) * 1000),
            PaginationConfig={"PageSize": 2},
        )
        for page in pages:
            records += [json.loads(event["message"]) for event in page["events"]]
        for sent in ids:
            found = [it for it in records if it["notification"]["messageId"] == sent]
            self.assertEqual([it["status"] for it in found], ["SUCCESS"] * 3)
            self.assertEqual(found[0]["delivery"]["destination"], TO)
        self.assertNotIn(failed, str(records))

        events = logs.filter_log_events(logGroupName=group + "/Failure")["events"]
        ends = [json.loads(event["message"]) for event in events]
        ends = [it for it in ends if it["notification"]["messageId"] == failed]
        self.assertEqual({it["delivery"]["providerResponse"] for it in ends}, {"Invalid phone number"})
        with self.assertRaises(logs.exceptions.ResourceNotFoundException):
            logs.filter_log_events(logGroupName="sns/none")
