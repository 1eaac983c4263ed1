"""Files and transcriptions by the official clients: as from the provider itself, kept whole or streamed."""

import json
import re
import subprocess

import pytest

from test_clients import HERE, NODE, PYTHON, TIMEOUT_S

SCRIPTS = {"js": [NODE, HERE / "js/blobs.mjs"], "python": [PYTHON, HERE / "python/blobs.py"]}
SIZE = 300_000


def bytes_said(text):
    """Of a form: its boundary differs from call to call, its length does not."""
    return int(re.match(r"(\d+) bytes, [0-9a-f]{64}$", text)[1])


@pytest.mark.parametrize("client", sorted(SCRIPTS))
def test_files_and_transcriptions(serve, mock, client):
    whole, streaming = serve(), serve("--streamed-body-bytes", "100000")
    done = subprocess.run(
        [*map(str, SCRIPTS[client]), str(SIZE), mock.url, whole.url, streaming.url],
        capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    direct, *through = json.loads(done.stdout)
    for result in through:
        assert result["back"] == direct["back"]
        assert result["file"]["bytes"] == direct["file"]["bytes"] > SIZE
        assert bytes_said(result["text"]) == bytes_said(direct["text"])
    for server, result in zip((whole, streaming), through):
        rows = {row["path"]: row for row in server.rows()}
        assert {row["state"] for row in rows.values()} == {"completed"}
        file = result["file"]
        upload = rows["/v1/files"]
        if server is streaming:
            assert (upload["upload_bytes"], upload["upload_sha256"]) == (
                file["bytes"], file["sha256"])
        else:
            assert upload["request_bytes"] == file["bytes"]
            body = server.call("GET", f"/v1/streams/{upload['id']}/request").body
            assert bytes((7 * i + i // 253) % 256 for i in range(SIZE)) in body
