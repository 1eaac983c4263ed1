"""Calls of a tokenlog server, made by plain code and by coroutines alike.

What is to be asked is said by a generator: it yields a Call, or a list of them that may be made at once, is
given the Reply, or the list of them, and returns what came of it. `run` and `arun` make the calls.

All that this package sends may be sent twice, so what got no answer, or a 503, is sent again.
"""

import asyncio
import dataclasses
import json
import os
import time

import httpx

TRIES = 6  # over some three seconds: a restart
FIRST_WAIT_S = 0.1
TIMEOUT_S = 60


class TokenlogError(Exception):
    """An answer that was not expected: `status`, and the server's `code`."""

    def __init__(self, status, body):
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            error = {"message": body[:200].decode(errors="replace")}
        super().__init__(error.get("message") or f"status {status}")
        self.status, self.code = status, error.get("code")


@dataclasses.dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)
    expected: tuple = ()  # statuses above 299 that are no error


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self):
        return self.status < 300


def _reply_to(call, response):
    """The Reply, or None: to be sent again."""
    if response.status_code >= 300 and response.status_code not in call.expected:
        if response.status_code == 503:
            return None
        raise TokenlogError(response.status_code, response.content)
    return Reply(response.status_code, response.headers, response.content)


class Client:
    def __init__(self, url, api_key=None, headers=None):
        api_key = api_key or os.environ.get("TOKENLOG_API_KEY")
        key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._options = {"base_url": url, "headers": {**(headers or {}), **key},
                         "timeout": TIMEOUT_S}
        self._plain = httpx.Client(**self._options)
        self._loop, self._async = None, None

    def run(self, asking):
        reply = None
        while True:
            try:
                asked = asking.send(reply)
            except StopIteration as end:
                return end.value
            reply = self.make(asked)

    async def arun(self, asking):
        reply = None
        while True:
            try:
                asked = asking.send(reply)
            except StopIteration as end:
                return end.value
            reply = await self.amake(asked)

    def make(self, asked):
        return [self._make(call) for call in asked] if isinstance(asked, list) else self._make(asked)

    async def amake(self, asked):
        if isinstance(asked, list):
            return await asyncio.gather(*map(self._amake, asked))
        return await self._amake(asked)

    def _make(self, call):
        for wait_s in _waits():
            time.sleep(wait_s)
            try:
                response = self._plain.request(call.method, call.path, content=call.body,
                                               headers=call.headers)
                reply, error = _reply_to(call, response), None
            except httpx.TransportError as failure:
                reply, error = None, failure
            if reply:
                return reply
        raise error or TokenlogError(503, response.content)

    async def _amake(self, call):
        for wait_s in _waits():
            await asyncio.sleep(wait_s)
            try:
                response = await self._client_here().request(
                    call.method, call.path, content=call.body, headers=call.headers)
                reply, error = _reply_to(call, response), None
            except httpx.TransportError as failure:
                reply, error = None, failure
            if reply:
                return reply
        raise error or TokenlogError(503, response.content)

    def _client_here(self):
        """Connections belong to the event loop that opened them."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._async = loop, httpx.AsyncClient(**self._options)
        return self._async


def _waits():
    yield 0
    for tries in range(TRIES - 1):
        yield FIRST_WAIT_S * 2**tries
