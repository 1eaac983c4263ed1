"""The official clients of one API against providers of that and of another: as if it were their own."""

import pytest

import dialects
import programs
import wire
from asking import Asker
from test_clients import HERE, NODE, PYTHON

CLIENTS = {"js": [NODE, HERE / "js/chat.mjs"], "python": [PYTHON, HERE / "python/chat.py"]}
# Asked in their own dialects.
OWN = {"google-ai-studio": "/v1beta/models/", "cohere": "/v2/chat", "ollama": "/api/chat",
       "aws-bedrock": "/model/"}
DIALECTS = {"google-ai-studio": "gemini", "aws-bedrock": "bedrock"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, mock):
    folder = tmp_path_factory.mktemp("translating")
    path = folder / "config.yaml"
    path.write_text("providers:\n" + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n    dialect: {name}\n"
        for name in dialects.CHATS) + "".join(
        f"  - name: {name}\n    base_url: {mock.url}\n    key: the:servers\n"
        f"    dialect: {DIALECTS.get(name, name)}\n    options: {{region: eu-west-1}}\n" for name in OWN))
    server = programs.Server(folder, None, "--config", str(path))
    yield server
    server.stop()
    server.check_log()


@pytest.fixture(params=sorted(CLIENTS), scope="module")
def ask(request):
    asker = Asker(*CLIENTS[request.param])
    yield lambda url, dialect, how, model: asker.ask(url=url, dialect=dialect, how=how, model=model)
    asker.close()


def without_generation(result):
    """Each generation of the mock's says its own number."""
    generation, tokens = wire.tokens(result["text"].encode())
    for _, arguments in result["calls"]:
        assert arguments.pop("generation") == generation
    return result | {"text": tokens}


@pytest.mark.parametrize("how", ["stream", "whole"])
@pytest.mark.parametrize("dialect, provider", dialects.PAIRS)
def test_an_answer_is_that_of_the_provider_itself(gateway, ask, mock, model, dialect, provider,
                                                  how):
    name = model("events=30", "tool=1")
    direct = without_generation(ask(mock.url, dialect, how, name))
    through = without_generation(ask(gateway.url, dialect, how, f"{provider}/{name}"))
    assert mock.last()["path"] == dialects.PATHS[provider]
    assert direct["text"] == list(range(30)) and len(direct["calls"]) == 1
    assert through == direct


@pytest.mark.parametrize("how", ["stream", "whole"])
@pytest.mark.parametrize("dialect", dialects.CHATS)
def test_an_answer_that_is_passed_on_as_it_is(gateway, ask, mock, model, dialect, how):
    """By the name of the model, and on the provider's native path."""
    name = model("events=30", "tool=1")
    direct = without_generation(ask(mock.url, dialect, how, name))
    assert direct["text"] == list(range(30)) and len(direct["calls"]) == 1
    assert without_generation(ask(gateway.url, dialect, how, f"{dialect}/{name}")) == direct
    assert without_generation(ask(f"{gateway.url}/{dialect}", dialect, how, name)) == direct


@pytest.mark.parametrize("how", ["stream", "whole"])
@pytest.mark.parametrize("dialect", dialects.CHATS)
@pytest.mark.parametrize("provider", sorted(OWN))
def test_a_provider_of_no_callers_dialect(gateway, ask, mock, model, provider, dialect, how):
    name = model("events=30", "tool=1")
    direct = without_generation(ask(mock.url, dialect, how, name))
    through = without_generation(ask(gateway.url, dialect, how, f"{provider}/{name}"))
    assert mock.last()["path"].startswith(OWN[provider])
    assert through == direct


@pytest.mark.parametrize("dialect, provider", dialects.PAIRS)
def test_errors_are_errors(gateway, ask, model, dialect, provider):
    for how in ("stream", "whole"):
        refused = ask(gateway.url, dialect, how, f"{provider}/{model('status=429')}")
        assert refused["status"] == 429 and "The mock was asked to fail." in refused["error"]
    for fault in ("error@5", "reset@5"):
        broken = ask(gateway.url, dialect, "stream", f"{provider}/{model(f'fault={fault}')}")
        assert broken.get("error"), broken
