"""A provider that speaks HTTP/2 over TLS: its certificate is checked, its connection shared."""

import concurrent.futures
import json
import subprocess

import pytest

from test_clients import HERE, NODE


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def provider(certificate):
    process = subprocess.Popen([NODE, HERE / "js/h2_provider.mjs", *certificate],
                               stdout=subprocess.PIPE, text=True)
    yield int(process.stdout.readline().split()[1])
    process.kill()
    process.wait()
    process.stdout.close()


def config(folder, port, ca_file):
    path = folder / "config.yaml"
    text = f"providers:\n  - name: h2\n    base_url: https://localhost:{port}\n"
    path.write_text(text + (f"    ca_file: {ca_file}\n" if ca_file else ""))
    return "--config", str(path)


def ask(server, **members):
    return server.post("any", **members)


def stats(port, certificate):
    done = subprocess.run(["curl", "-sS", "--http2", "--cacert", certificate[0],
                           f"https://localhost:{port}/stats"], check=True, capture_output=True)
    return json.loads(done.stdout)


def test_streams_share_a_connection(serve, provider, certificate, tmp_path):
    server = serve(*config(tmp_path, provider, certificate[0]), provider=None)
    assert ask(server, events=1).end == "clean"
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        replies = list(pool.map(lambda _: ask(server, events=50), range(40)))
    for reply in replies:
        assert reply.status == 200 and reply.end == "clean"
        assert [f" t{i}".encode() in reply.body for i in range(50)] == [True] * 50
    counted = stats(provider, certificate)
    assert counted["streams"] == 41
    assert counted["sessions"] <= 12  # one for curl


def test_a_stream_that_is_reset_fails_alone(serve, provider, certificate, tmp_path):
    server = serve(*config(tmp_path, provider, certificate[0]), provider=None)
    cut = ask(server, events=5, reset=True)
    assert cut.status == 200 and cut.end != "clean"
    assert ask(server, events=5).end == "clean"
    assert {row["state"] for row in server.rows()} == {"failed", "completed"}


def test_a_certificate_that_nobody_vouches_for(serve, provider, tmp_path):
    server = serve(*config(tmp_path, provider, None), provider=None)
    reply = ask(server, events=1)
    assert reply.status == 502 and b"upstream_refused" in reply.body
