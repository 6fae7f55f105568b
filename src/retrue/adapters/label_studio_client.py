"""One door to Label Studio's HTTP API: who we are, how long we wait, what is asked again.

Only what may be done twice is tried again: reads, and writes that say so. An import never is: a
client's timeout does not stop the server's work, so a second one would make copies.
"""

from __future__ import annotations

import json
import logging
import re
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar, cast

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from retrue.adapters.process import without_passwords
from retrue.errors import QueueError, RetrueError, ServiceUnavailable
from retrue.records import Json

__all__ = ["LabelStudioClient", "NotFound"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

TIMEOUT = httpx.Timeout(300.0, connect=10.0)  # 10,000 tasks are imported in 5-15 s
PAUSES = (0.5, 2.0, 5.0)  # seconds before each further try
LONGEST_PAUSE = 30.0  # seconds, whatever the server asks for
BEARER_SECONDS = 240.0  # a bearer lives 300 s
_TOKENS = (
    "Label Studio knows two kinds of token: a personal access token (Account & Settings > Personal "
    "Access Token), which works by default, and a legacy token (40 hexadecimal digits), which an "
    "owner must allow under Organization > API Tokens. Set LABEL_STUDIO_API_KEY to one that is "
    "valid, of a user who may manage projects."
)


class NotFound(QueueError):
    """What the call named is not there (any more)."""


class _Access(BaseModel):
    access: str


class LabelStudioClient:
    """Calls with the right token; every failure is one of retrue's errors, free of secrets."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the address and the token; asks nothing yet.

        Args:
            url: The server's root.
            token: A personal access token or a legacy token, told apart by shape.
            transport: What carries the requests; None: the network.
            sleep: Waits this many seconds.
            clock: Seconds, rising.
        """
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT, transport=transport)
        # Nobody closes a queue: its connections end with it.
        weakref.finalize(self, self._http.close)
        self._name = without_passwords(url.rstrip("/"))
        self._token = token.strip()
        self._sleep, self._clock = sleep, clock
        self._bearer = ""
        self._renew_at = 0.0
        self.server_time: datetime | None = None  # of the last reply, whole seconds

    @property
    def token_kind(self) -> str:
        """Which of the two kinds of token this is."""
        return "personal access token" if self._is_personal() else "legacy token"

    def get(self, path: str, wanted: type[_T], params: Mapping[str, str | int] | None = None) -> _T:
        """Read something.

        Raises:
            NotFound: There is no such thing.
            QueueError: Refused, or the reply is not what this version of the API promises.
            ServiceUnavailable: No answer after several tries.
        """
        return self._parsed(path, self._call("GET", path, params=params, again=True), wanted)

    def post(
        self,
        path: str,
        wanted: type[_T],
        body: Json,
        params: Mapping[str, str | int] | None = None,
        *,
        again: bool,
    ) -> _T:
        """Write something; `again`: doing it twice does no harm. Raises as `get`."""
        reply = self._call("POST", path, params=params, body=body, again=again)
        return self._parsed(path, reply, wanted)

    def patch(self, path: str, wanted: type[_T], body: Json) -> _T:
        """Change something; doing it twice does no harm. Raises as `get`."""
        return self._parsed(path, self._call("PATCH", path, body=body, again=True), wanted)

    def delete(self, path: str) -> None:
        """Delete something; it may be gone already. Raises as `get`."""
        try:
            self._call("DELETE", path, again=True)
        except NotFound:
            return

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Json = None,
        again: bool,
    ) -> httpx.Response:
        for pause in (*(PAUSES if again else ()), None):
            try:
                return self._once(method, path, params, body)
            except ServiceUnavailable as error:
                if pause is None:
                    raise
                _log.info("%s; asking again", error)
                self._sleep(max(pause, _asked_pause(error)))
        raise AssertionError  # the last turn returns or raises

    def _once(
        self, method: str, path: str, params: Mapping[str, str | int] | None, body: Json
    ) -> httpx.Response:
        headers = {"Authorization": self._authorization()}
        reply = self._send(method, path, params, body, headers)
        if reply.status_code == 401 and self._is_personal():
            self._renew_at = 0.0  # revoked early, or our clock stood still
            headers = {"Authorization": self._authorization()}
            reply = self._send(method, path, params, body, headers)
        if reply.is_error:
            raise _refusal(f"{self._name}{path}", reply)
        return reply

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None,
        body: Json,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            reply = self._http.request(
                method, path, params=params, content=content, headers={**headers, **kind}
            )
        except httpx.TransportError as error:
            # The error's own text may hold the address with its password.
            raise ServiceUnavailable(
                f"{self._name}{path}: Label Studio did not answer ({type(error).__name__}). "
                "Is it running, and is LABEL_STUDIO_URL right?"
            ) from None
        self.server_time = _date(reply)
        return reply

    def _is_personal(self) -> bool:
        return self._token.count(".") == 2  # a JSON web token

    def _authorization(self) -> str:
        if not self._is_personal():
            return f"Token {self._token}"
        if self._clock() >= self._renew_at:
            path = "/api/token/refresh/"
            reply = self._send("POST", path, None, {"refresh": self._token}, {})
            if reply.is_error:
                raise _refusal(f"{self._name}{path}", reply)
            self._bearer = self._parsed(path, reply, _Access).access
            self._renew_at = self._clock() + BEARER_SECONDS
        return f"Bearer {self._bearer}"

    def _parsed(self, path: str, reply: httpx.Response, wanted: type[_T]) -> _T:
        try:
            return TypeAdapter(wanted).validate_json(reply.content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            if first["type"] == "json_invalid" and reply.content[:1] in (b"{", b"["):
                raise ServiceUnavailable(
                    f"{self._name}{path}: Label Studio's reply was cut off. Ask again."
                ) from None
            where = ".".join(str(part) for part in first["loc"])
            raise QueueError(
                f"{self._name}{path}: expected the reply of Label Studio's API, got something else "
                f"({where}: {first['msg']}). Is LABEL_STUDIO_URL the server's root, and its "
                "version one that retrue knows?"
            ) from None


class _Busy(ServiceUnavailable):
    """It answered that it cannot answer now."""

    pause = 0.0  # seconds the server asked us to wait


def _asked_pause(error: ServiceUnavailable) -> float:
    return error.pause if isinstance(error, _Busy) else 0.0


def _refusal(where: str, reply: httpx.Response) -> RetrueError:
    status = reply.status_code
    if status == 403 and "network address" in _said(reply):
        return QueueError(
            f"{where}: Label Studio refuses to reach this address: {_said(reply)}. If it is in "
            "your own network, start Label Studio with SSRF_PROTECTION_ENABLED=false."
        )
    if status in (401, 403):
        return QueueError(f"{where}: Label Studio refused our token (HTTP {status}). {_TOKENS}")
    if status == 404:
        said = f"{where}: there is no such thing (any more): {_said(reply)}"
        return NotFound(f"{said} If nothing is found, LABEL_STUDIO_URL names another server.")
    if status in (408, 425, 429) or status >= 500:
        busy = _Busy(f"{where}: Label Studio is busy or failing (HTTP {status})")
        wait = reply.headers.get("Retry-After", "")
        busy.pause = min(float(wait), LONGEST_PAUSE) if wait.isdecimal() else 0.0
        return busy
    return QueueError(f"{where}: Label Studio refused (HTTP {status}): {_said(reply)}")


def _said(reply: httpx.Response) -> str:
    """What the server said, without signatures of links."""
    try:
        raw = cast("object", reply.json())
    except ValueError:
        return "no details"
    if not isinstance(raw, dict):
        return "no details"
    told = cast("dict[str, object]", raw)
    details = told.get("validation_errors") or told.get("detail")
    return re.sub(r"\?[^\s'\"]+", "?...", str(details))[:500]


def _date(reply: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None
