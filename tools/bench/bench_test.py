"""The load generator against the mock provider: what is right counts as right, and what is wrong as what it is."""

import json
import os
import subprocess

import pytest

LOAD, MOCK = os.environ["TOKENLOG_LOAD"], os.environ["MOCK_PROVIDER"]


@pytest.fixture(name="url", scope="module")
def mock_url():
    with subprocess.Popen([MOCK, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True) as process:
        yield "http://" + process.stdout.readline().split()[1]
        process.terminate()


def load(url, *arguments):
    done = subprocess.run([LOAD, *arguments, "--url", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=True)
    return json.loads(done.stdout)


def stream(url, model, *arguments):
    return load(url, "stream", "--model", model, "--warmup", "0", "--duration", "0.5", *arguments)


def test_every_token_is_counted_once(url):
    result = stream(url, "mock,events=7", "--clients", "3", "--once", "--ramp", "0")
    assert result["events"] == 21
    assert result["responses"] == 3
    assert result["errors"]["all"] == 0
    assert result["first_token_us"]["count"] == 3
    assert result["stream_us"]["count"] == 3


def test_paced_tokens_have_a_lateness(url):
    result = stream(url, "mock,events=10,rate=100,ttft=50", "--once")
    assert result["events"] == 10
    assert result["lateness_us"]["count"] == 10
    assert result["first_token_us"]["p50"] >= 50000


@pytest.mark.parametrize("model", ["mock,events=50,write=1", "mock,events=50,sse=crlf", "mock,events=50,burst=50",
                                   "mock,events=5,size=60000", "mock,events=50,text=40", "mock,events=50,frame=close"])
def test_the_form_of_the_stream_does_not_matter(url, model):
    result = stream(url, model, "--once")
    assert result["errors"]["all"] == 0, result["first_problem"]
    assert result["events"] in (5, 50)


@pytest.mark.parametrize("fault, kind", [("status=500", "status"), ("fault=reset@3", "cut"), ("fault=close@3", "cut"),
                                         ("fault=end@3", "short"), ("fault=garbage@3", "malformed"),
                                         ("fault=refuse", "cut"), ("fault=error@3", "short")])
def test_faults_count_as_what_they_are(url, fault, kind):
    errors = stream(url, "mock,events=10," + fault)["errors"]
    assert errors[kind] > 0
    assert errors["all"] == errors[kind]


def test_no_server():
    errors = stream("http://127.0.0.1:1", "mock")["errors"]
    assert errors["unreached"] > 0


def test_bad_arguments():
    for arguments in (["stream"], ["nothing", "--url", "http://127.0.0.1:1"], ["stream", "--url", "https://x"],
                      ["stream", "--url", "http://127.0.0.1:1", "--clients", "0"], ["follow", "--url", "http://127.0.0.1:1"]):
        assert subprocess.run([LOAD, *arguments], stderr=subprocess.DEVNULL, check=False).returncode == 2


def test_buckets_add_up(url):
    result = stream(url, "mock,events=40,rate=200", "--once", "--buckets")
    assert sum(count for _, count in result["lateness_us"]["buckets"]) == 40
