"""Fixtures: a mock provider for all tests, servers for one test each, and names for models."""

import itertools
import re
import resource

import pytest

import programs

NUMBERS = itertools.count(1)


def pytest_configure(config):
    """Crowds need sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def mock(tmp_path_factory):
    mock = programs.Mock(tmp_path_factory.mktemp("mock") / "mock.log")
    yield mock
    mock.terminate()
    assert not programs.REPORT.search(mock.log()), mock.log()


@pytest.fixture(scope="session")
def fast_mock(tmp_path_factory):
    mock = programs.Mock(tmp_path_factory.mktemp("fast_mock") / "mock.log",
                         binary=programs.MOCK_FAST)
    yield mock
    mock.terminate()


@pytest.fixture
def serve(tmp_path_factory, request, mock):
    """serve(*flags, …) starts a server of this test's own; at the end each is stopped cleanly."""
    servers = []

    def start(*flags, provider=mock.url, **options):
        folder = options.pop("folder", None) or tmp_path_factory.mktemp("server")
        servers.append(programs.Server(folder, provider, *flags, **options))
        return servers[-1]

    yield start
    for server in servers:
        if server.is_running():
            server.stop()
        elif not server.log_file.closed:
            server.log_file.close()
            assert server.process.returncode == 0, server.log()[-4000:]
        server.check_log()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory, mock):
    server = programs.Server(tmp_path_factory.mktemp("shared"), mock.url)
    yield server
    server.stop()
    server.check_log()


@pytest.fixture
def server(shared_server):
    """One server for all tests that change nothing for the others; it must outlive each. Its journal is small: after a test
    with long answers a slow machine may have to store some before it takes more."""
    assert programs.eventually(lambda: shared_server.call("GET", "/readyz").status == 200), shared_server.log()[-6000:]
    yield shared_server
    assert shared_server.is_running(), shared_server.log()[-6000:]


@pytest.fixture
def model(request):
    """model("events=50", "rate=20") — a name that no other test uses, so that its calls count."""
    test = re.sub(r"[^a-z0-9_]", "", request.node.name.lower())[:60]

    def name(*settings):
        return ",".join(("mock", *settings, f"id={test}.{next(NUMBERS)}"))

    return name


@pytest.fixture
def canned():
    """canned(answers, …) — see programs.Canned."""
    providers = []

    def start(*arguments, **options):
        providers.append(programs.Canned(*arguments, **options))
        return providers[-1]

    yield start
    for provider in providers:
        provider.close()
