"""Telling people by a plain webhook, on several ways at once, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from retrue.ports import Notifier

__all__ = ["Everyone", "Silent", "WebhookNotifier"]

_log = logging.getLogger(__name__)
TIMEOUT = 5.0  # seconds; nobody's step waits longer for a message


class Silent:
    """Nobody asked to be told."""

    def send(self, title: str, text: str) -> bool:
        """Leave it in the log; nobody is left to be told."""
        _log.info("%s: %s", title, text)
        return True


class WebhookNotifier:
    """Posts `{"text": ...}`, which Slack, Mattermost and Teams understand."""

    def __init__(self, url: str) -> None:
        """Keep the URL; it is a secret and never logged."""
        self._url = url

    def send(self, title: str, text: str) -> bool:
        """Post once; a failure is logged and never stops a step."""
        import httpx

        try:
            reply = httpx.post(self._url, json={"text": f"*{title}*\n{text}"}, timeout=TIMEOUT)
            reply.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error's own text would hold the URL.
            _log.warning("the webhook did not take the message: %s", type(error).__name__)
            return False
        return True


class Everyone:
    """Several ways to tell; one that takes the message is enough, so that nobody gets it twice."""

    def __init__(self, ways: Sequence[Notifier]) -> None:
        """Keep the ways, at least one."""
        self._ways = tuple(ways)

    def send(self, title: str, text: str) -> bool:
        """Send on every way; true if one took it."""
        told = [way.send(title, text) for way in self._ways]
        return any(told)
