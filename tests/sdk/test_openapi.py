"""Schemathesis holds the service against its OpenAPI document: no answer that the document does not tell."""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import service

# Requests that must have been made, or the run proves nothing.
CASES = 2_000
# Examples of each operation and phase; with the fixed ones they make the cases.
EXAMPLES = 20
# Always the same requests: a failure is ours, not chance's.
SEED = 1
# Seconds for one answer (a request may ask to wait) and for all of it.
ANSWER = 60
LIMIT = 600
# What an answer is held against. Acceptance is no check: the door knows rules that a schema cannot say.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
)


class OpenApi(unittest.TestCase):
    def test_every_answer_is_in_the_document(self):
        with tempfile.TemporaryDirectory() as folder:
            running = service.Service(folder)
            try:
                said = self.judged(running.url, folder)
            finally:
                running.stop()
        cases = re.search(r"(\d+) generated, (\d+) passed", said)
        self.assertIsNotNone(cases, said)
        generated, passed = (int(count) for count in cases.groups())
        self.assertEqual(generated, passed, said)
        self.assertGreaterEqual(generated, CASES, said)

    def judged(self, url, folder):
        program = Path(sys.executable).with_name("schemathesis")
        command = [str(program), "run", f"{url}/openapi.json", "--url", url, "--no-color"]
        command += ["--checks", ",".join(CHECKS), "--continue-on-failure"]
        command += ["--max-examples", str(EXAMPLES), "--seed", str(SEED)]
        command += ["--request-timeout", str(ANSWER)]
        done = subprocess.run(
            command, cwd=folder, env={"HOME": folder}, capture_output=True, text=True, timeout=LIMIT
        )
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 0, said)
        return said
