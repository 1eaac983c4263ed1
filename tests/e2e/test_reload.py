"""SIGHUP and `tokenlog reload`: providers, catalogue and keys anew, all or nothing, and no stream
notices."""

import json
import os
import signal
import subprocess
import threading

import programs


def run(*words):
    return subprocess.run([programs.TOKENLOG, *words], capture_output=True, text=True, timeout=60,
                          env=programs.environment())


def reload(server, *flags):
    return run("reload", "--data", str(server.data), *flags)


def reloads(server):
    """How many there were."""
    report = server.data / ".reload"
    return json.loads(report.read_text())["count"] if report.exists() else 0


def write(path, providers, more=""):
    """Whole or not at all, as an editor does."""
    text = "providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {url}\n" for name, url in providers) + more
    path.with_suffix(".new").write_text(text)
    os.replace(path.with_suffix(".new"), path)


def test_a_stream_under_way_goes_on_while_its_provider_is_taken_away(serve, mock, canned, model,
                                                                     tmp_path):
    path = tmp_path / "config.yaml"
    other = canned(programs.canned_json(b'{"choices":[]}'))
    write(path, [("one", mock.url)])
    server = serve("--config", str(path), provider=None)
    name = model("events=60", "rate=40")
    live = server.open(f"one/{name}")
    write(path, [("two", other.url)])
    done = reload(server)
    assert done.returncode == 0, done.stderr
    assert "1 providers" in done.stdout
    assert server.post("two/x", stream=False).status == 200
    assert server.post("one/x", stream=False).status == 200  # now a name like any other: to two
    assert json.loads(other.requests[-1][1])["model"] == "one/x"
    reply = live.finish()
    assert reply.end == "clean" and reply.body.endswith(b"data: [DONE]\n\n")
    assert mock.of(name)["completed"] == 1


def test_a_bad_file_is_refused_whole_and_the_caller_is_told(serve, canned, tmp_path):
    path = tmp_path / "config.yaml"
    first = canned(programs.canned_json(b"{}"))
    write(path, [("one", first.url)])
    server = serve("--config", str(path), provider=None)
    keys = server.data / "keys"
    for providers, more, said in (
            ([("two", "ftp://x")], "", "config.yaml:2: provider `two`: the URL"),
            ([("two", first.url)], "nonsense: 1\n", "unknown key `nonsense`"),
            ([("two", first.url)], "    type: nobody\n", "no provider `nobody`"),
            ([("two", first.url)], "catalogue: /no/such/file\n", "/no/such/file"),
            ([("two", first.url)], "streams_max: 0\n", "streams_max")):
        write(path, providers, more)
        done = reload(server)
        assert done.returncode == 1 and said in done.stderr, done.stderr
        assert "nothing was changed" in done.stderr
        assert server.post("any", stream=False).status == 200
        assert json.loads(first.requests[-1][1])["model"] == "any"
    # Keys that cannot be read hold back the rest, too.
    write(path, [("two", "http://127.0.0.1:1")])
    keys.write_text("no keys file\n")
    assert reload(server).returncode == 1
    assert server.post("any", stream=False).status == 200
    keys.unlink()
    done = reload(server, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["providers"] == 1
    assert server.post("any", stream=False).status == 502
    assert "reload_refused" in server.log() and '"reloaded"' in server.log()


def test_keys_and_catalogue_come_with_it(serve, canned, tmp_path):
    path, own = tmp_path / "config.yaml", tmp_path / "own.json"
    provider = canned(programs.canned_json(b"{}"))
    catalogue = {"format": 1, "sources": {"us": {}}, "models": [], "providers": [
        {"name": "ours", "title": "Ours", "base_url": provider.url, "dialect": "openai_chat",
         "auth": "bearer"}]}
    own.write_text(json.dumps(catalogue))
    text = f"catalogue: {own}\nproviders:\n  - name: ours\n    key: %s\n"
    path.write_text(text % "old")
    server = serve("--config", str(path), provider=None)

    def key_sent():
        assert server.post("ours/m", stream=False).status == 200
        return provider.requests[-1][0].lower()

    assert "authorization: bearer old" in key_sent()
    path.write_text(text % "new")
    catalogue["models"] = [{"id": "ours/m", "aliases": [], "capabilities": ["chat"],
                            "prices": {}, "source": ["us"], "date": "2026-01-02"}]
    own.write_text(json.dumps(catalogue))
    assert "1 models are known" in reload(server).stdout
    assert "authorization: bearer new" in key_sent()
    assert len(server.call("GET", "/v1/models").json()["data"]) == 1
    own.write_text("{")
    done = reload(server)
    assert done.returncode == 1 and "is not JSON" in done.stderr
    assert len(server.call("GET", "/v1/models").json()["data"]) == 1


def test_what_takes_a_restart_is_named(serve, canned, tmp_path):
    path = tmp_path / "config.yaml"
    url = canned(programs.canned_json(b"{}")).url
    write(path, [("one", url)], "keep_days: 3\n")
    server = serve("--config", str(path), provider=None)
    write(path, [("one", url)], "keep_days: 4\nunknown_models: refuse\n")
    done = reload(server)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].endswith(": keep_days")
    assert server.post("", stream=False).status in (400, 404)


def test_without_a_server_there_is_nobody_to_tell(tmp_path):
    done = run("reload", "--data", str(tmp_path))
    assert done.returncode == 4 and "no server runs on" in done.stderr


def test_reload_under_load_drops_nothing(serve, mock, model, tmp_path):
    """Streams begin, go on and end while the file changes under them, again and again."""
    path = tmp_path / "config.yaml"
    write(path, [("one", mock.url)])
    server = serve("--config", str(path), provider=None)
    names = [model("events=20", "rate=200") for _ in range(40)]
    replies = []

    def ask(some):
        for name in some:
            replies.append(server.post(name))

    threads = [threading.Thread(target=ask, args=(names[i::8],)) for i in range(8)]
    for thread in threads:
        thread.start()
    for i in range(12):
        write(path, [(f"p{i}", mock.url)], "  - name: bad\n" if i % 3 == 2 else "")
        if i % 2:
            count = reloads(server)
            server.process.send_signal(signal.SIGHUP)
            programs.eventually(lambda: reloads(server) > count)  # or the next reports of this one
        else:
            assert reload(server).returncode == (1 if i % 3 == 2 else 0)
    for thread in threads:
        thread.join()
    assert [(one.status, one.end) for one in replies] == [(200, "clean")] * len(names)
    assert all(mock.of(name)["completed"] == 1 for name in names)
