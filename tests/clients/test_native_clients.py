"""The clients of providers' own APIs, unchanged, on native paths: the same as against the provider itself; and the
AI SDK in front of providers of other dialects.
"""

import pytest

import programs
import wire
from asking import Asker
from test_clients import HERE, NODE

# Client → provider.
CLIENTS = {"genai": "google-ai-studio", "cohere": "cohere", "ai-openai": "openai",
           "ai-openai-chat": "openai", "ai-anthropic": "anthropic", "ai-google": "google-ai-studio",
           "ollama": "ollama", "ai-bedrock": "aws-bedrock"}
MORE = {"aws-bedrock": "    options: {region: eu-west-1}\n"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("native")
    path = folder / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n    key: the:servers\n{MORE.get(name, '')}"
        for name in sorted(set(CLIENTS.values()))))
    server = programs.Server(folder, None, "--config", str(path))
    yield server
    server.stop()
    server.check_log()


@pytest.fixture(params=sorted(CLIENTS))
def client(request):
    return request.param


@pytest.fixture(scope="module")
def ask():
    asker = Asker(NODE, HERE / "js/native.mjs")
    yield lambda client, url, how, model: asker.ask(client=client, url=url, how=how, model=model)
    asker.close()


def without_generation(result):
    generation, tokens = wire.tokens(result["text"].encode())
    for _, arguments in result["calls"]:
        assert arguments.pop("generation") == generation
    return result | {"text": tokens}


@pytest.mark.parametrize("how", ["stream", "whole"])
def test_an_answer_is_that_of_the_provider_itself(gateway, ask, mock, model, client, how):
    name = model("events=30", "tool=1")
    direct = without_generation(ask(client, mock.url, how, name))
    through = without_generation(ask(client, f"{gateway.url}/{CLIENTS[client]}", how, name))
    assert direct["text"] == list(range(30)) and len(direct["calls"]) == 1
    assert through == direct
    row = gateway.rows("?limit=1")[0]
    assert (row["state"], row["usage"]["output_tokens"]) == ("completed", 30)


@pytest.mark.parametrize("how", ["stream", "whole"])
@pytest.mark.parametrize("client, provider", [
    ("ai-openai", "anthropic"), ("ai-openai-chat", "cohere"), ("ai-openai-chat", "aws-bedrock"),
    ("ai-anthropic", "google-ai-studio"), ("ai-anthropic", "ollama")])
def test_one_word_leads_to_another_provider(gateway, ask, mock, model, client, provider, how):
    """In front of one of another dialect the AI SDK makes the same of an answer."""
    name = model("events=30", "tool=1")
    direct = without_generation(ask(client, mock.url, how, name))
    through = without_generation(ask(client, gateway.url, how, f"{provider}/{name}"))
    assert direct["text"] == list(range(30)) and len(direct["calls"]) == 1
    assert through == direct


def test_an_error_is_that_of_the_provider_itself(gateway, ask, mock, model, client):
    name = model("status=429")
    direct = ask(client, mock.url, "stream", name)
    assert direct["status"] == 429
    assert ask(client, f"{gateway.url}/{CLIENTS[client]}", "stream", name) == direct


@pytest.mark.parametrize("fault", ["end@5", "reset@5"])
def test_what_breaks_off_is_an_error(gateway, ask, model, client, fault):
    """Some clients take a well-ended part for the whole; what we pass on does not end well."""
    broken = ask(client, f"{gateway.url}/{CLIENTS[client]}", "stream", model("events=10", f"fault={fault}"))
    assert broken.get("error"), broken
