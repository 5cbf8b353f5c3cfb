"""Runs the providers' official SDKs, unchanged, against a running simulator.

The SDKs are told another address in the way their documents give, and nothing else. They judge
the simulator: what they parse, and the type and code of the errors that they raise. Their validators
judge what the simulator signs and what we sign, and sign what we must accept.
"""

import argparse
import json
import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


def forget_the_developers_settings():
    """No profile, key or proxy of whoever runs this may have a say."""
    for name in list(os.environ):
        if name.upper().startswith(("AWS_", "TWILIO_", "SENDGRID_")):
            del os.environ[name]
        if name.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ports-file", type=Path, required=True)
    parser.add_argument("--smtp-source", type=Path, required=True)
    parser.add_argument("--ums", type=Path, required=True, help="the program under test")
    parser.add_argument("-k", dest="patterns", action="append", help="only tests of this name")
    arguments = parser.parse_args()
    forget_the_developers_settings()
    sys.path.insert(0, str(HERE))
    sys.dont_write_bytecode = True

    import simulator

    ports = json.loads(arguments.ports_file.read_text())
    simulator.RUNNING = simulator.Simulator(ports, arguments.smtp_source, arguments.ums)

    loader = unittest.TestLoader()
    if arguments.patterns:
        loader.testNamePatterns = [f"*{pattern}*" for pattern in arguments.patterns]
    suite = loader.discover(str(HERE), pattern="test_*.py", top_level_dir=str(HERE))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    passed = result.testsRun - failed
    # A suite that finds no tests, or skips some, proves nothing.
    broken = failed or result.skipped or not passed
    print(f"python tests: {passed} passed, {failed} failed")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
