"""A person with an account of their own, who sees what Label Studio shows to an annotator."""

from __future__ import annotations

import re
import secrets
from typing import Any

import httpx

from services.label_studio import LabelStudioServer


class Annotator:
    """Signs up by the invite link, as people do, and asks with a token of their own."""

    def __init__(self, server: LabelStudioServer, name: str) -> None:
        self.email = f"{name}-{secrets.token_hex(4)}@example.com"
        admin = {"Authorization": f"Token {server.token}"}
        invite = httpx.get(f"{server.url}/api/invite", headers=admin, timeout=60).json()
        with httpx.Client(base_url=server.url, follow_redirects=True, timeout=60) as browser:
            page = browser.get(invite["invite_url"])
            found = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.text)
            assert found is not None
            form = {
                "csrfmiddlewaretoken": found[1],
                "email": self.email,
                "password": secrets.token_hex(12),
            }
            browser.post(str(page.url), data=form, headers={"Referer": str(page.url)})
            token = browser.get("/api/current-user/token").json()["token"]
        self._http = httpx.Client(
            base_url=server.url, headers={"Authorization": f"Token {token}"}, timeout=60
        )

    def see(self, path: str, **params: Any) -> Any:
        """What the API shows this person."""
        reply = self._http.get(path, params=params)
        assert not reply.is_error, reply.text
        return reply.json()

    def open(self, address: str) -> httpx.Response:
        """What this person's browser gets for an address on a page; follows no redirect."""
        return self._http.get(address)

    def close(self) -> None:
        """Go home."""
        self._http.close()
