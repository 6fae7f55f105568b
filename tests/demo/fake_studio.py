"""A Label Studio as small as the demo's annotators need it: sign-up, projects, tasks, answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

ADMIN = "0" * 40
PAGE = 200  # tasks of one reply


@dataclass
class FakeStudio:
    """Answers requests; several threads may ask, each request is one step."""

    media: dict[str, bytes] = field(default_factory=dict)  # path -> what a browser gets
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    titles: dict[int, str] = field(default_factory=dict)
    users: list[str] = field(default_factory=list)  # e-mails; a user's number is the place + 1
    drafts: set[int] = field(default_factory=set)  # tasks with an open draft
    drafted: list[int] = field(default_factory=list)  # tasks that ever had one

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    def add(self, title: str, key: str, *, overlap: int, media: str) -> int:
        project = next((n for n, name in self.titles.items() if name == title), None)
        if project is None:
            project = len(self.titles) + 1
            self.titles[project] = title
        number = len(self.tasks) + 1
        self.tasks[number] = {
            "id": number,
            "project": project,
            "overlap": overlap,
            "data": {"retrue_key": key, "media": media},
            "annotations": [],
        }
        return number

    def answers(self, task: int) -> list[tuple[str, str]]:
        """(e-mail, what was chosen) of those who answered; skipped ones are left out."""
        return [
            (self.users[one["completed_by"] - 1], one["result"][0]["value"]["choices"][0])
            for one in self.tasks[task]["annotations"]
            if not one["was_cancelled"]
        ]

    def skips(self, task: int) -> int:
        return sum(one["was_cancelled"] for one in self.tasks[task]["annotations"])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path in self.media:
            return httpx.Response(200, content=self.media[path])
        for pattern, answer in self._doors():
            if found := re.fullmatch(f"{request.method} {pattern}", f"{request.method} {path}"):
                return answer(request, *found.groups())
        return httpx.Response(404, json={"detail": "Not found."})

    def _doors(self) -> list[tuple[str, Any]]:
        return [
            ("/api/invite", self._invite),
            ("/user/signup/", self._sign_up),
            ("/api/token/", self._token),
            ("/api/token/refresh/", lambda request: _json({"access": _body(request)["refresh"]})),
            ("/api/current-user/whoami", lambda request: _json({"id": self._who(request)})),
            ("/api/projects/", self._projects),
            ("/api/tasks/", self._list),
            (r"/api/tasks/(\d+)/drafts", self._draft),
            (r"/api/tasks/(\d+)/annotations/", self._answer),
        ]

    def _invite(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == f"Token {ADMIN}"
        return _json({"invite_url": "/user/signup/?token=abc"})

    def _sign_up(self, request: httpx.Request) -> httpx.Response:
        page = '<input name="csrfmiddlewaretoken" value="secret">'
        if request.method == "GET":
            return httpx.Response(
                200, text=page, headers={"Set-Cookie": "csrftoken=secret; Path=/"}
            )
        form = httpx.QueryParams(request.content.decode())
        if form["csrfmiddlewaretoken"] != "secret" or form["email"] in self.users:
            return httpx.Response(200, text=page)
        self.users.append(form["email"])
        number = len(self.users)
        return httpx.Response(
            302, headers={"Location": "/", "Set-Cookie": f"sessionid={number}; Path=/"}
        )

    def _token(self, request: httpx.Request) -> httpx.Response:
        session = re.search(r"sessionid=(\d+)", request.headers["Cookie"])
        assert session is not None
        return httpx.Response(201, json={"token": f"a.{session[1]}.b"})

    def _who(self, request: httpx.Request) -> int:
        return int(request.headers["Authorization"].split(".")[1])

    def _projects(self, _request: httpx.Request) -> httpx.Response:
        done = [task["project"] for task in self.tasks.values() if _labeled(task)]
        every = [task["project"] for task in self.tasks.values()]
        found = [
            {
                "id": number,
                "title": title,
                "task_number": every.count(number),
                "finished_task_number": done.count(number),
            }
            for number, title in self.titles.items()
        ]
        return _json({"count": len(found), "results": found})

    def _list(self, request: httpx.Request) -> httpx.Response:
        project, page = (int(request.url.params[name]) for name in ("project", "page"))
        rows = [task for task in self.tasks.values() if task["project"] == project]
        shown = rows[(page - 1) * PAGE : page * PAGE]
        tasks = [task | {"is_labeled": _labeled(task)} for task in shown]
        return _json({"total": len(rows), "tasks": tasks})

    def _draft(self, _request: httpx.Request, task: str) -> httpx.Response:
        self.drafts.add(int(task))
        self.drafted.append(int(task))
        return httpx.Response(201, json={"id": int(task)})

    def _answer(self, request: httpx.Request, task: str) -> httpx.Response:
        body = _body(request)
        self.drafts.discard(body.get("draft_id", 0))
        given = {
            "completed_by": self._who(request),
            "was_cancelled": body.get("was_cancelled", False),
            "result": body["result"],
            "lead_time": body["lead_time"],
        }
        self.tasks[int(task)]["annotations"].append(given)
        return httpx.Response(201, json={"id": 1})


def _labeled(task: dict[str, Any]) -> bool:
    given = [one for one in task["annotations"] if not one["was_cancelled"]]
    return len(given) >= task["overlap"]


def _json(value: object) -> httpx.Response:
    return httpx.Response(200, json=value)


def _body(request: httpx.Request) -> Any:
    return json.loads(request.content)
