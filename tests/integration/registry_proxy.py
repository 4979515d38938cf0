"""A door before a registry that can be held shut: blobs stop in the middle until it is opened.

Run as a program in the engine's network namespace: `registry_proxy.py PORT UPSTREAM FOLDER`. While
FOLDER/hold exists, every blob stops half-way; each request is a line in FOLDER/requests.
"""

import http.client
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, UPSTREAM, FOLDER = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])


class Door(BaseHTTPRequestHandler):
    """Hands requests on and answers back."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Fetch it from the registry; a blob only to its middle while the door is held."""
        with (FOLDER / "requests").open("a") as log:
            log.write(f"{self.command} {self.path}\n")
        upstream = http.client.HTTPConnection(UPSTREAM)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        upstream.request(self.command, self.path, headers=headers)
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(key, value)
        self.end_headers()
        middle = len(body) // 2
        self.wfile.write(body[:middle])
        self.wfile.flush()
        while "/blobs/" in self.path and (FOLDER / "hold").exists():
            time.sleep(0.02)
        self.wfile.write(body[middle:])

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """The requests are written elsewhere."""


server = ThreadingHTTPServer(("127.0.0.1", PORT), Door)
print("listening", flush=True)
server.serve_forever()
