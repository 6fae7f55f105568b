"""Webhooks as they come in the field: twice, late, out of order, or not at all."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import httpx

from retrue.adapters.hints_webhook import PATH, SECRET_HEADER

__all__ = ["hinter"]

LATEST = 1.5  # seconds: longer than the next answer takes
COPIES = (0, 1, 1, 2, 3)


def hinter(port: int, secret: str, seed: int) -> Callable[[], None]:
    """What tells a listener of one answer, badly; nobody waits for it, or hears that it failed."""
    chance = random.Random(seed)  # noqa: S311 - no secret

    def send(known: str) -> None:
        body = {"action": chance.choice(("ANNOTATION_CREATED", "ANNOTATIONS_DELETED"))}
        address = f"http://127.0.0.1:{port}{PATH}"
        try:
            httpx.post(address, json=body, headers={SECRET_HEADER: known}, timeout=1, verify=False)  # noqa: S501 - plain HTTP
        except httpx.TransportError:
            return

    def tell() -> None:
        for _ in range(chance.choice(COPIES)):
            known = secret if chance.random() < 0.9 else "a stranger"
            threading.Timer(chance.uniform(0, LATEST), send, (known,)).start()

    return tell
