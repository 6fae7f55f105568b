"""The door to Label Studio: tokens, tries, and errors that tell no secrets."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from pydantic import BaseModel

from retrue.adapters.label_studio_client import LabelStudioClient, NotFound
from retrue.errors import QueueError, ServiceUnavailable

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOi.eyJ0b2tlbl90.c2lnbmF0dXJl"
Handler = Callable[[httpx.Request], httpx.Response]


class Thing(BaseModel):
    id: int


class Server:
    """Answers by a script, the last line for ever, and remembers what it was asked."""

    def __init__(self, *script: httpx.Response | type[httpx.TransportError]) -> None:
        self.script = list(script)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []
        self.clock = 0.0
        self.bearers = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token/refresh/":
            self.bearers += 1
            return httpx.Response(200, json={"access": f"bearer-{self.bearers}"})
        self.asked.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer(f"secret in {request.url}")

    def client(self, token: str = LEGACY, url: str = "http://ls.test/") -> LabelStudioClient:
        return LabelStudioClient(
            url,
            token,
            transport=httpx.MockTransport(self),
            sleep=self.slept.append,
            clock=lambda: self.clock,
        )

    @property
    def tokens(self) -> list[str]:
        return [request.headers["Authorization"] for request in self.asked]


def fine() -> httpx.Response:
    return httpx.Response(200, json={"id": 7})


def busy(status: int = 503, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_legacy_token_is_sent_as_it_is():
    server = Server(fine())

    thing = server.client().get("/api/thing", Thing)

    assert thing.id == 7
    assert server.tokens == [f"Token {LEGACY}"]


def test_a_personal_token_is_exchanged_once_and_renewed_before_it_ends():
    server = Server(fine())
    client = server.client(PERSONAL)

    for now in (0.0, 239.0, 240.0, 250.0):
        server.clock = now
        client.get("/api/thing", Thing)

    assert server.tokens == [f"Bearer bearer-{n}" for n in (1, 1, 2, 2)]


def test_a_bearer_that_is_refused_early_is_renewed_once():
    server = Server(httpx.Response(401), fine())

    server.client(PERSONAL).get("/api/thing", Thing)

    assert server.tokens == ["Bearer bearer-1", "Bearer bearer-2"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_explained_by_the_kinds_there_are(status: int):
    server = Server(httpx.Response(status, json={"detail": "Invalid token."}))

    with pytest.raises(QueueError, match=r"personal access token.*legacy token") as caught:
        server.client().get("/api/thing", Thing)

    assert LEGACY not in str(caught.value)
    assert len(server.asked) == 1


def test_a_read_is_tried_again_with_growing_pauses():
    server = Server(busy(), httpx.ReadTimeout, fine())

    assert server.client().get("/api/thing", Thing).id == 7

    assert server.slept == sorted(server.slept)
    assert len(server.slept) == 2


def test_the_server_says_how_long_to_wait_within_reason():
    server = Server(busy(429, Retry_After="9"), busy(429, Retry_After="9999"), fine())

    server.client().get("/api/thing", Thing)

    assert server.slept == [9.0, 30.0]


def test_a_write_that_would_make_copies_is_never_tried_again():
    server = Server(httpx.ReadTimeout, fine())

    with pytest.raises(ServiceUnavailable):
        server.client().post("/api/import", Thing, [], again=False)

    assert len(server.asked) == 1


@pytest.mark.parametrize("fault", [busy(500), busy(429), httpx.ConnectError, httpx.ReadError])
def test_no_answer_after_all_tries_is_for_later(fault: httpx.Response):
    server = Server(fault)

    with pytest.raises(ServiceUnavailable):
        server.client().get("/api/thing", Thing)

    assert len(server.asked) == 4


def test_what_is_not_there_is_told_apart_and_deleting_it_is_fine():
    gone = {"status_code": 404, "detail": "No Task matches the given query."}
    client = Server(httpx.Response(404, json=gone)).client()

    with pytest.raises(NotFound, match="No Task matches"):
        client.get("/api/tasks/1", Thing)
    client.delete("/api/tasks/1")


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, text="<html>log in</html>"),
        httpx.Response(200, json={"id": "seven"}),
        httpx.Response(200, json=[]),
    ],
)
def test_a_reply_of_another_shape_stops_at_the_door(reply: httpx.Response):
    with pytest.raises(QueueError, match="LABEL_STUDIO_URL"):
        Server(reply).client().get("/api/thing", Thing)


def test_a_reply_that_was_cut_off_is_for_later():
    with pytest.raises(ServiceUnavailable, match="cut off"):
        Server(httpx.Response(200, text='{"id": 7, "ti')).client().get("/api/thing", Thing)


def test_an_address_that_the_server_may_not_reach_is_no_matter_of_tokens():
    told = {"detail": "URL resolves to a reserved network address (block: 10.0.0.0/8)"}
    server = Server(httpx.Response(403, json=told))

    with pytest.raises(QueueError, match="SSRF_PROTECTION_ENABLED=false"):
        server.client().get("/api/thing", Thing)


def test_a_change_is_tried_again():
    server = Server(busy(), fine())

    assert server.client().patch("/api/thing", Thing, {"id": 7}).id == 7

    assert [request.method for request in server.asked] == ["PATCH", "PATCH"]


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError,
        httpx.Response(403),
        httpx.Response(404),
        httpx.Response(500),
        httpx.Response(400, json={"validation_errors": {"data": ["http://s3/x?X-Amz-Sign=ab"]}}),
    ],
)
@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_no_error_holds_a_token_a_password_or_a_signature(fault: httpx.Response, token: str):
    client = Server(fault).client(token, "http://me:sesame@ls.test")

    with pytest.raises((QueueError, ServiceUnavailable)) as caught:
        client.get("/api/thing", Thing)

    told = f"{caught.value} {caught.value.__cause__}"
    for secret in (token, "bearer-1", "sesame", "X-Amz-Sign", "Authorization"):
        assert secret not in told
