"""A server on the loopback that keeps what is posted to it."""

import contextlib
import http.server
import threading
import time

PATIENCE = 20


class Post:
    def __init__(self, path, headers, body):
        self.path = path
        self.headers = headers
        self.body = body

    def header(self, name):
        return self.headers.get(name.lower())


class Receiver:
    def __init__(self):
        self.posts = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posts.append(Post(self.path, headers, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    @classmethod
    @contextlib.contextmanager
    def running(cls):
        receiver = cls()
        thread = threading.Thread(target=receiver.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.server.shutdown()
            receiver.server.server_close()
            thread.join()

    def wait_for(self, count, about=""):
        """All posts whose body holds the text, once there are so many."""
        end = time.monotonic() + PATIENCE
        while True:
            posts = [post for post in self.posts if about.encode() in post.body]
            if len(posts) >= count:
                return posts
            if time.monotonic() > end:
                raise AssertionError(f"{len(posts)} of {count} posts came")
            # Sleeps because another process posts.
            time.sleep(0.02)
