"""Signatures of Amazon SNS's envelopes, made and verified by the steps in its developer guide.

"Verifying the signatures of Amazon SNS messages", read November 2026, with `cryptography` for the
arithmetic. There is no sound library for it on PyPI: those found know version 1 only.
"""

import base64
import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
DIGESTS = {"1": hashes.SHA1, "2": hashes.SHA256}


def signed_text(envelope):
    names = NOTIFICATION if envelope["Type"] == "Notification" else CONFIRMATION
    return "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope).encode()


def verify(envelope, certificate_pem):
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    now = datetime.datetime.now(datetime.timezone.utc)
    if [name.value for name in names] != ["sns.amazonaws.com"]:
        return False
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False
    try:
        certificate.public_key().verify(
            base64.b64decode(envelope["Signature"]),
            signed_text(envelope),
            padding.PKCS1v15(),
            DIGESTS[envelope["SignatureVersion"]](),
        )
    except InvalidSignature:
        return False
    return True


class Signer:
    """A key of our own with a certificate in Amazon's name."""

    def __init__(self):
        self.key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )
        self.certificate_pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, envelope, version):
        envelope = {**envelope, "SignatureVersion": version}
        signature = self.key.sign(signed_text(envelope), padding.PKCS1v15(), DIGESTS[version]())
        return {**envelope, "Signature": base64.b64encode(signature).decode()}
