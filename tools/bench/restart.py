"""Restart with a store that is not empty: filled through the server itself with what cannot be compressed."""

import concurrent.futures
import http.server
import json
import os
import threading
import time
import urllib.error
import urllib.request

BODY_BYTES = 4 * 1024 * 1024
WRITERS = 4


class Noise(http.server.BaseHTTPRequestHandler):
    """A provider of speech that is noise."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802, the library's name
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "audio/pcm")
        self.send_header("Content-Length", str(BODY_BYTES))
        self.end_headers()
        self.wfile.write(os.urandom(BODY_BYTES))

    def log_message(self, *_):
        """Silent."""


class Provider:
    """As House.mock() gives it: with a `url`."""

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noise)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def speak(url):
    """One recording; whether it came whole."""
    body = json.dumps({"model": "mock/noise", "input": "x", "voice": "x"}).encode()
    request = urllib.request.Request(url + "/v1/audio/speech", body, {"Content-Type": "application/json"})
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return len(reply.read()) == BODY_BYTES
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.1)  # more than the disk takes, as it says
    return False


def fill(bench, server, store_bytes):
    count = max(1, store_bytes // BODY_BYTES)
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        for number, is_right in enumerate(pool.map(lambda _: speak(server.url), range(count))):
            if number % 64 == 0:
                bench.note(f"restart: {number * BODY_BYTES / 1e9:.1f} of {store_bytes / 1e9:.1f} GB")
            if not is_right:
                bench.errors.append("restart: a recording was not whole")


def restart(bench, store_gb):
    """Killed in the middle of writing: what the journal holds is read again at the start."""
    rows = {"ready": bench.row(f"restart to ready after SIGKILL, {store_gb:g} GB in the store", "ms", "less"),
            "store": bench.row("… store's file", "GB", ""),
            "journal": bench.row("… journal unabsorbed before it", "%", "")}
    with Provider() as provider:
        server = bench.house.tokenlog("tokenlog", provider, data="restart")
        fill(bench, server, int(store_gb * 1e9))
        for _ in range(bench.size.rounds):
            fill(bench, server, 8 * WRITERS * BODY_BYTES)
            metrics = server.metrics()
            rows["store"].add("tokenlog", metrics.get("tokenlog_store_file_bytes", 0) / 1e9)
            rows["journal"].add("tokenlog", metrics.get("tokenlog_journal_used_percent", 0))
            bench.house.kill(server)
            server = bench.house.tokenlog("tokenlog", provider, data="restart")
            rows["ready"].add("tokenlog", server.start_ms)
        bench.house.end(server)
