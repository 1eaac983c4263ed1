"""The load generator against the mock provider: what is right counts as right, and what is wrong as what it is."""

import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from device import Device, is_void  # noqa: E402

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


def test_refusals_are_no_failures_where_they_are_expected(url):
    arguments = ("--clients", "2")
    assert stream(url, "mock,status=503", *arguments)["errors"]["status"] > 0
    result = stream(url, "mock,status=503", *arguments, "--may-refuse")
    assert result["errors"]["all"] == 0
    assert result["refused"] == 2, "each asks again after a second only"
    assert stream(url, "mock,status=500", *arguments, "--may-refuse")["errors"]["status"] > 0


def test_a_stream_that_begins_late_may_still_be_at_its_pace(url):
    result = stream(url, "mock,events=10,rate=100,ttft=50", "--once")
    assert result["pace_us"]["count"] == 10


def test_headers_go_along(url):
    stream(url, "mock,events=1", "--once", "--header", "x-first: 1", "--header", "x-second: 2")
    last = json.loads(subprocess.run(["curl", "-s", url + "/mock/last"], stdout=subprocess.PIPE, check=True).stdout)
    assert last["headers"]["x-first"] == "1" and last["headers"]["x-second"] == "2"


def test_commits_without_flushes_are_void():
    assert is_void(100, 10)
    assert not is_void(100, 80)
    assert not is_void(100, 1000), "others flush too"
    assert not is_void(3, 0), "too few to tell"


def test_a_device_counts_or_says_why_not(tmp_path):
    device = Device(tmp_path)
    assert device.silent if device.flushes() is None else device.flushes() >= 0


def test_the_report_has_all_rows(tmp_path):
    def row(title, **servers):
        return {"part": "x", "title": title, "unit": "µs", "better": "less", "servers": {
            name: {"median": figures[0], "min": min(figures), "max": max(figures), "rounds": figures}
            for name, figures in servers.items()}}

    machine = {"cpu": "a", "cores": 2, "kernel": "6", "commit": "c" * 40, "peers": {}, "cores_used": [0, 1],
               "load_before": 0}
    results = {"machine": machine, "seconds": 1, "errors": [], "rows": [
        row("first", tokenlog=[1, 0.5, 2], nginx=[3]), row("… second", tokenlog=[4], nginx=[5]), row("none")]}
    (tmp_path / "results.json").write_text(json.dumps(results))
    subprocess.run([sys.executable, os.path.join(HERE, "report"), tmp_path / "results.json", "--out", tmp_path,
                    "--no-plots"], check=True, stdout=subprocess.DEVNULL)
    text = (tmp_path / "figures.md").read_text()
    assert "| first [µs] | 1.00 (0.50 … 2.00) | 3.00 |" in text
    assert "| … second [µs] | 4.00 | 5.00 |" in text
    assert "none" not in text
