"""The official clients of one API against providers of another: as if it were their own."""

import json
import subprocess

import pytest

import dialects
import programs
import wire
from test_clients import HERE, NODE, PYTHON, TIMEOUT_S

CLIENTS = {"js": [NODE, HERE / "js/chat.mjs"], "python": [PYTHON, HERE / "python/chat.py"]}
OWN = {"google-ai-studio": "/v1beta/models/", "cohere": "/v2/chat"}  # asked in their own dialects


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("translating")
    path = folder / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n    dialect: {name}\n"
        for name in dialects.CHATS) + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n" for name in OWN))
    server = programs.Server(folder, None, "--config", str(path))
    yield server
    server.stop()
    server.check_log()


@pytest.fixture(params=sorted(CLIENTS))
def client(request):
    return request.param


def ask(client, url, dialect, how, model):
    done = subprocess.run([*map(str, CLIENTS[client]), url, dialect, how, model],
                          capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_generation(result):
    """Each generation of the mock's says its own number."""
    generation, tokens = wire.tokens(result["text"].encode())
    for _, arguments in result["calls"]:
        assert arguments.pop("generation") == generation
    return result | {"text": tokens}


@pytest.mark.parametrize("how", ["stream", "whole"])
@pytest.mark.parametrize("dialect, provider", dialects.PAIRS)
def test_an_answer_is_that_of_the_provider_itself(gateway, mock, model, client, dialect, provider,
                                                  how):
    name = model("events=30", "tool=1")
    direct = without_generation(ask(client, mock.url, dialect, how, name))
    through = without_generation(ask(client, gateway.url, dialect, how, f"{provider}/{name}"))
    assert mock.last()["path"] == dialects.PATHS[provider]
    assert direct["text"] == list(range(30)) and len(direct["calls"]) == 1
    assert through == direct


@pytest.mark.parametrize("how", ["stream", "whole"])
@pytest.mark.parametrize("dialect", ["anthropic", "openai_responses"])
@pytest.mark.parametrize("provider", sorted(OWN))
def test_a_provider_of_no_callers_dialect(gateway, mock, model, client, provider, dialect, how):
    name = model("events=30", "tool=1")
    direct = without_generation(ask(client, mock.url, dialect, how, name))
    through = without_generation(ask(client, gateway.url, dialect, how, f"{provider}/{name}"))
    assert mock.last()["path"].startswith(OWN[provider])
    assert through == direct


@pytest.mark.parametrize("dialect, provider", dialects.PAIRS)
def test_errors_are_errors(gateway, model, client, dialect, provider):
    for how in ("stream", "whole"):
        refused = ask(client, gateway.url, dialect, how, f"{provider}/{model('status=429')}")
        assert refused["status"] == 429 and "The mock was asked to fail." in refused["error"]
    for fault in ("error@5", "reset@5"):
        broken = ask(client, gateway.url, dialect, "stream", f"{provider}/{model(f'fault={fault}')}")
        assert broken.get("error"), broken
