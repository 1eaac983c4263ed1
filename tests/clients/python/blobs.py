"""blobs.py BYTES URL… — files up and down, and a transcription, by the official client at each address;
what it got, as JSON."""

import hashlib
import io
import json
import sys

import openai


def visit(url, size):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0)
    data = bytes((7 * i + i // 253) % 256 for i in range(size))
    file = client.files.create(file=("a.bin", io.BytesIO(data)), purpose="user_data")
    text = client.audio.transcriptions.create(file=("a.mp3", data), model="mock", language="is")
    back = client.files.content(f"bytes-{size}").read()
    return {"file": {"bytes": file.bytes, "sha256": file.sha256}, "text": text.text,
            "back": hashlib.sha256(back).hexdigest()}


print(json.dumps([visit(url, int(sys.argv[1])) for url in sys.argv[2:]]))
