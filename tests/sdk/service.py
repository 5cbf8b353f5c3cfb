"""`ums dev` on free ports, in an empty folder."""

import json
import subprocess
import time
import urllib.request
from pathlib import Path

import simulator

PORTS = ("http", "ses", "sns", "sendgrid", "twilio", "smtp")
# Seconds the service has to start.
START = 60


class Service:
    def __init__(self, folder):
        file = Path(folder) / "ports.json"
        command = [str(simulator.RUNNING.ums), "dev", "--listen", "127.0.0.1:0"]
        command += ["--data", folder, "--ports-file", str(file), "--feedback-delay", "0,50"]
        for name in PORTS:
            command += [f"--{name}-port", "0"]
        self.log = open(Path(folder) / "log", "wb")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, cwd=folder, env={"HOME": folder}
        )
        end = time.monotonic() + START
        while not file.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError((Path(folder) / "log").read_text())
            # Sleeps because another process starts.
            time.sleep(0.05)
        addresses = json.loads(file.read_text())
        self.url = f"http://{addresses['service']}"
        self.control_url = f"http://{addresses['http']}/_sim"

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()

    def call(self, method, path, body=None):
        return self._ask(method, self.url + path, body)

    def control(self, method, path, body=None):
        return self._ask(method, f"{self.control_url}/{path}", body)

    def _ask(self, method, url, body):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"null")
