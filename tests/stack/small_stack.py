"""A stack of two small services: real processes, ready in a second."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from retrue.stack.catalogue import Catalogue
from retrue.stack.loopback import HOST
from retrue.stack.service import Launch, Say, Service, Site, answers
from retrue.stack.state import State

__all__ = ["SMALL", "Clerk", "Page", "catalogue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Serves the files in its folder; one of them is its credential."""

    name: ClassVar[str] = "page"
    ports: ClassVar[tuple[str, ...]] = ("http",)
    needs: ClassVar[tuple[str, ...]] = ()
    ready_seconds: ClassVar[float] = 30.0
    site: Site
    settings: str = ""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.site.ports['http']}"

    def prepare(self, say: Say) -> None:  # noqa: ARG002 - a service may tell
        (self.site.folder / "who").write_text(self.site.credential("password"))

    def launch(self) -> Launch:
        port = str(self.site.ports["http"])
        return Launch(
            command=(sys.executable, "-m", "http.server", "--bind", HOST, port),
            environment={"SETTINGS": self.settings},
        )

    def is_ready(self) -> bool:
        reply = answers(f"{self.url}/who")
        return reply is not None and reply.text == self.site.credential("password")

    def environment(self) -> Mapping[str, str]:
        return {"PAGE_URL": self.url, "PAGE_PASSWORD": self.site.credential("password")}

    def link(self) -> str | None:
        return self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Clerk:
    """Has no port; it needs the page, and has a child of its own."""

    name: ClassVar[str] = "clerk"
    ports: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("page",)
    ready_seconds: ClassVar[float] = 30.0
    site: Site

    def prepare(self, say: Say) -> None:  # noqa: ARG002 - a service may tell
        (self.site.folder / "there").unlink(missing_ok=True)

    def launch(self) -> Launch:
        return Launch(command=("sh", "-c", "sleep 1000 & echo $! > there; wait"))

    def is_ready(self) -> bool:
        there = self.site.folder / "there"
        return there.exists() and there.read_text() != ""

    def environment(self) -> Mapping[str, str]:
        return {}

    def link(self) -> str | None:
        return None


def catalogue(
    page: type[Page] = Page, clerk: type[Service] = Clerk, settings: str = ""
) -> Catalogue:
    """The two, or others in their place."""

    def make(folder: Path, state: State) -> dict[str, Service]:
        def site(name: str) -> Site:
            return Site(folder=folder / name, ports=state.ports[name], secret=state.secret_of(name))

        made: dict[str, Service] = {}
        if page.name in state.ports:
            made[page.name] = page(site=site(page.name), settings=settings)
        if clerk.name in state.ports:
            made[clerk.name] = clerk(site=site(clerk.name))
        return made

    return Catalogue(kinds=(page, clerk), make=make)


SMALL = catalogue()
