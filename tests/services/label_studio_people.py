"""What people do in a real Label Studio, done through its API in their names."""

from __future__ import annotations

import json
from typing import Any

import httpx

from retrue.adapters.queue_label_studio import LabelStudioQueue
from services.label_studio import LabelStudioServer


class LabelStudioPeople:
    """Answers as `<name>@example.com`, with the note "é" after 1.5 seconds."""

    def __init__(self, server: LabelStudioServer, queue: LabelStudioQueue) -> None:
        self._server, self._queue = server, queue

    def answer(
        self, task_key: str, annotator: str, value: str, *, tool_id: str | None = None
    ) -> str:
        return self.submit(task_key, annotator, parts(value), tool_id=tool_id)

    def skip(self, task_key: str, annotator: str) -> str:
        return self.submit(task_key, annotator, [], skipped=True)

    def submit(
        self,
        task_key: str,
        annotator: str,
        result: list[dict[str, Any]],
        *,
        tool_id: str | None = None,
        skipped: bool = False,
    ) -> str:
        body = {
            "result": result,
            "was_cancelled": skipped,
            "lead_time": 1.5,
            "completed_by": self._user(annotator),
        }
        task = tool_id or self._queue.tasks([task_key])[0].tool_id
        return str(self.call("POST", f"/api/tasks/{task}/annotations/", body)["id"])

    def draft(self, task_key: str, annotator: str) -> None:
        task = self._queue.tasks([task_key])[0].tool_id
        body = {"result": parts('"cat"'), "lead_time": 1.0, "user": self._user(annotator)}
        self.call("POST", f"/api/tasks/{task}/drafts", body)

    def edit(self, answer_id: str, value: str) -> None:
        self.call("PATCH", f"/api/annotations/{answer_id}/", {"result": parts(value)})

    def delete(self, answer_id: str) -> None:
        self.call("DELETE", f"/api/annotations/{answer_id}/")

    def call(self, method: str, path: str, body: object = None) -> Any:
        headers = {"Authorization": f"Token {self._server.token}"}
        url = f"{self._server.url}{path}"
        reply = httpx.request(method, url, json=body, headers=headers, timeout=60)
        assert not reply.is_error, reply.text
        return reply.json() if reply.content else None

    def _user(self, name: str) -> int:
        email = name if "@" in name else f"{name}@example.com"
        known = {user["email"]: user["id"] for user in self.call("GET", "/api/users/")}
        if email not in known:
            body = {"email": email, "username": email.partition("@")[0]}
            known[email] = self.call("POST", "/api/users/", body)["id"]
        return known[email]


def parts(value: str) -> list[dict[str, Any]]:
    """An answer as the labeling page would send it: one choice, and a note."""
    place = {"to_name": "sample"}
    choice = {"choices": [json.loads(value)]}
    return [
        {"from_name": "label", "type": "choices", "value": choice, **place},
        {"from_name": "note", "type": "textarea", "value": {"text": ["é"]}, **place},
    ]
