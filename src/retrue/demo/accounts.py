"""Accounts of annotators in Label Studio: signed up by the invite link, as people do it."""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel

from retrue.adapters.label_studio_client import LabelStudioClient
from retrue.errors import QueueError, ServiceUnavailable

__all__ = ["Account", "sign_up"]

TIMEOUT = 120.0  # seconds; a small server may be busy
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One person's way in."""

    email: str
    user_id: int
    browser: httpx.Client = field(repr=False)  # signed in, as on the person's own screen
    client: LabelStudioClient = field(repr=False)  # the API, by the person's own access token

    def open_link(self, link: str) -> bytes:
        """What a link in a task leads to, as the browser fetches it.

        Raises:
            QueueError: To nothing.
            ServiceUnavailable: Nobody answered.
        """
        shown = link.partition("?")[0]  # what follows may be a signature
        try:
            reply = self.browser.get(link, follow_redirects=True)
        except httpx.TransportError as error:
            raise ServiceUnavailable(f"{shown}: no answer ({type(error).__name__})") from None
        if reply.is_error:
            raise QueueError(
                f"{shown}: expected the medium of a task, got HTTP {reply.status_code}"
            )
        return reply.content


class _Invite(BaseModel):
    invite_url: str


class _Token(BaseModel):
    token: str


class _User(BaseModel):
    id: int


def sign_up(
    url: str,
    admin_token: str,
    people: Mapping[str, str],
    *,
    transport: httpx.BaseTransport | None = None,
) -> dict[str, Account]:
    """Make accounts by the organisation's invite link, and an access token for each.

    Args:
        url: The server's root.
        admin_token: Of somebody who may invite.
        people: E-mail -> password.
        transport: What carries the requests; None: the network.

    Returns:
        Accounts by e-mail.

    Raises:
        QueueError: An e-mail is taken, or the server does it in another way.
        ServiceUnavailable: The server did not answer.
    """
    admin = LabelStudioClient(url, admin_token, transport=transport)
    invite = admin.get("/api/invite", _Invite).invite_url
    accounts: dict[str, Account] = {}
    for email, password in people.items():
        browser = httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False, transport=transport)
        token = _sign_up(browser, invite, email, password)
        client = LabelStudioClient(url, token, transport=transport)
        weakref.finalize(client, browser.close)
        user = client.get("/api/current-user/whoami", _User)
        accounts[email] = Account(email=email, user_id=user.id, browser=browser, client=client)
    return accounts


def _sign_up(browser: httpx.Client, invite: str, email: str, password: str) -> str:
    """Fill in the form, and make a personal access token in the session that follows."""
    url = browser.base_url
    try:
        page = browser.get(invite)
        form = {"csrfmiddlewaretoken": _csrf(page), "email": email, "password": password}
        reply = browser.post(invite, data=form, headers={"Referer": str(url)})
        if not reply.is_redirect:  # the form comes back with complaints
            raise QueueError(f"{url}: {email} could not sign up; is there such a user already?")
        made = browser.post("/api/token/", headers={"X-CSRFToken": browser.cookies["csrftoken"]})
        made.raise_for_status()
        return _Token.model_validate_json(made.content).token
    except httpx.TransportError as error:
        raise ServiceUnavailable(f"{url}: no answer ({type(error).__name__})") from None
    except (httpx.HTTPStatusError, ValueError, KeyError) as error:
        raise QueueError(f"{url}: {email} signed up but got no access token") from error


def _csrf(page: httpx.Response) -> str:
    found = CSRF.search(page.text)
    if page.is_error or found is None:
        here = page.url.copy_with(query=None)
        raise QueueError(f"{here}: expected the form to sign up, got HTTP {page.status_code}")
    return found[1]
