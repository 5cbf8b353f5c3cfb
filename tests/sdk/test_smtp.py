"""Python's smtplib, and Postfix's smtp-source as a second client."""

import smtplib
import subprocess
from email.message import EmailMessage
from email.utils import formataddr

from simulator import ATTACHMENT, HTML, PATIENCE, SUBJECT, TEXT, SimulatorTest

FROM_NAME = "Zoë's Läden"
TO = ["zoe@example.com", "yann@example.org"]


class Smtp(SimulatorTest):
    provider = "smtp"

    def connect(self):
        host, port = self.simulator.address("smtp")
        client = smtplib.SMTP(host, port, timeout=PATIENCE)
        self.addCleanup(client.close)
        return client

    def mail(self):
        mail = EmailMessage()
        mail["From"] = formataddr((FROM_NAME, "shop@example.com"), charset="utf-8")
        mail["To"] = ", ".join(TO)
        mail["Subject"] = SUBJECT
        mail["Reply-To"] = "help@example.com"
        mail["X-Order"] = "5"
        mail.set_content(TEXT)
        mail.add_alternative(HTML, subtype="html")
        mail.add_attachment(
            ATTACHMENT, maintype="application", subtype="octet-stream", filename="Rechnung-№5.bin"
        )
        return mail

    def send(self):
        client = self.connect()
        client.login("user@example.com", "any")
        return client.send_message(self.mail(), to_addrs=[*TO, "hidden@example.net"])

    def assert_reply(self, caught, code, enhanced):
        self.assertEqual(caught.exception.smtp_code, code)
        self.assertTrue(caught.exception.smtp_error.decode().startswith(enhanced))

    def test_a_mail_arrives_whole(self):
        self.assertEqual(self.send(), {})
        message = self.received_one()
        self.assert_email(message, to=TO, from_address="shop@example.com", from_name=FROM_NAME)
        self.assert_attachment(message, filename="Rechnung-№5.bin")
        self.assertEqual(message["bcc"], ["hidden@example.net"])
        self.assertEqual(message["reply_to"], ["help@example.com"])
        self.assertEqual(message["headers"]["X-Order"], "5")
        self.assertNotIn("hidden@example.net", message["raw"])

    def test_the_banner_names_the_simulator(self):
        client = smtplib.SMTP(timeout=PATIENCE)
        self.addCleanup(client.close)
        code, banner = client.connect(*self.simulator.address("smtp"))
        self.assertEqual(code, 220)
        self.assertIn(b"simulator", banner.lower())

    def test_a_connection_carries_many_mails_and_leading_dots(self):
        client = self.connect()
        for number in range(5):
            body = f"Subject: {number}\r\n\r\n.leading\r\n..two\r\n.\r\n"
            client.sendmail("shop@example.com", ["zoe@example.com"], body)
        self.assertEqual(client.noop()[0], 250)
        client.quit()
        messages = self.received()
        self.assertEqual([message["subject"] for message in messages], list("01234"))
        lines = messages[0]["text"].split()
        self.assertEqual(lines, [".leading", "..two", "."])

    def test_throttle_is_454(self):
        with self.refused(smtplib.SMTPResponseException, "throttle") as caught:
            self.send()
        self.assert_reply(caught, 454, "4.7.0")

    def test_a_refused_password_is_an_authentication_error(self):
        with self.refused(smtplib.SMTPAuthenticationError, "unauthorized") as caught:
            self.send()
        self.assert_reply(caught, 535, "5.7.8")

    def test_a_suspended_account_refuses_the_sender(self):
        with self.refused(smtplib.SMTPSenderRefused, "suspended") as caught:
            self.send()
        self.assert_reply(caught, 550, "5.7.0")

    def test_a_used_up_quota_is_550_5_4_5(self):
        with self.refused(smtplib.SMTPResponseException, "quota") as caught:
            self.send()
        self.assert_reply(caught, 550, "5.4.5")

    def test_a_refused_recipient_is_550(self):
        with self.refused(smtplib.SMTPRecipientsRefused, "reject") as caught:
            self.send()
        for code, text in caught.exception.recipients.values():
            self.assertEqual(code, 550)
            self.assertTrue(text.startswith(b"5.1."), text)

    def test_an_error_is_451_to_the_sender(self):
        with self.refused(smtplib.SMTPSenderRefused, "error") as caught:
            self.send()
        self.assert_reply(caught, 451, "4.3.0")

    def test_a_reset_after_the_dot_leaves_the_mail_recorded(self):
        with self.simulator.fault("smtp", "reset_after"):
            with self.assertRaises((smtplib.SMTPServerDisconnected, ConnectionResetError)):
                self.send()
        self.received_one()

    def test_a_closed_port_is_a_connection_error(self):
        with self.refused(ConnectionRefusedError, "refuse"):
            self.send()

    def test_smtp_source_delivers_all_it_sends(self):
        host, port = self.simulator.address("smtp")
        count = 200
        subprocess.run(
            [self.simulator.smtp_source, "-s", "8", "-m", str(count), "-l", "2000"]
            + ["-f", "shop@example.com", "-t", "zoe@example.com", f"{host}:{port}"],
            check=True,
            timeout=60,
            capture_output=True,
        )
        self.assertEqual(len(self.received()), count)
