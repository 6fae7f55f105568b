"""Telling people by a plain webhook, or not at all."""

from __future__ import annotations

import logging

__all__ = ["Silent", "WebhookNotifier"]

_log = logging.getLogger(__name__)
TIMEOUT = 5.0  # seconds; nobody's step waits longer for a message


class Silent:
    """Nobody asked to be told."""

    def send(self, title: str, text: str) -> None:
        """Leave it in the log."""
        _log.info("%s: %s", title, text)


class WebhookNotifier:
    """Posts `{"text": ...}`, which Slack, Mattermost and Teams understand."""

    def __init__(self, url: str) -> None:
        """Keep the URL; it is a secret and never logged."""
        self._url = url

    def send(self, title: str, text: str) -> None:
        """Post once; a failure is logged and never stops a step."""
        import httpx

        try:
            reply = httpx.post(self._url, json={"text": f"*{title}*\n{text}"}, timeout=TIMEOUT)
            reply.raise_for_status()
        except httpx.HTTPError as error:
            # The error's own text would hold the URL.
            _log.warning("the webhook did not take the message: %s", type(error).__name__)
