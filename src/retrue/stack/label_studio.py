"""Label Studio: where people answer (its own virtual environment, 800 MB)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from retrue.stack.loopback import HOST
from retrue.stack.packages import environment, install
from retrue.stack.postgresql import ROLE, PostgreSQL
from retrue.stack.service import Launch, Say, Site, answers

__all__ = ["ADMIN", "DATABASE", "LabelStudio"]

ADMIN = "admin@example.com"
DATABASE = "label_studio"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStudio:
    """A server with one administrator; others join by its invite link."""

    name: ClassVar[str] = "label-studio"
    ports: ClassVar[tuple[str, ...]] = ("http",)
    needs: ClassVar[tuple[str, ...]] = ("postgresql",)
    ready_seconds: ClassVar[float] = 600.0  # 50 s the first time, 8 s then, on a quiet machine
    site: Site
    postgresql: PostgreSQL | None = None  # None: SQLite, where ids of removed tasks come again

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.site.ports['http']}"

    @property
    def token(self) -> str:
        """The administrator's legacy token: it never expires, so it can stand in a file."""
        return self.site.credential("token", 40)

    @property
    def password(self) -> str:
        """The administrator's."""
        return self.site.credential("password", 24)

    def prepare(self, say: Say) -> None:
        """Install it; it makes its tables itself."""
        install(self.name, say)

    def launch(self) -> Launch:
        """Its development server, which is enough for a few people."""
        program = str(environment(self.name) / "bin" / "label-studio")
        port = str(self.site.ports["http"])
        return Launch(
            command=(
                *(program, "start", "--no-browser"),
                *("--internal-host", HOST, "--port", port),
            ),
            environment={
                "LABEL_STUDIO_BASE_DATA_DIR": str(self.site.folder),
                "LABEL_STUDIO_USERNAME": ADMIN,
                "LABEL_STUDIO_PASSWORD": self.password,
                "LABEL_STUDIO_USER_TOKEN": self.token,
                "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "1",
                "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
                "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
                "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
                "SENTRY_DSN": "",
                "FRONTEND_SENTRY_DSN": "",
                "DO_NOT_TRACK": "1",
                # Media and webhooks are on loopback here, which it refuses to reach otherwise.
                "LABEL_STUDIO_SSRF_PROTECTION_ENABLED": "false",
                **self._database(),
            },
        )

    def is_ready(self) -> bool:
        """It knows our token, which no other server on this port would."""
        reply = answers(
            f"{self.url}/api/current-user/whoami", headers={"Authorization": f"Token {self.token}"}
        )
        return reply is not None and reply.json()["email"] == ADMIN

    def environment(self) -> Mapping[str, str]:
        """For the program; the last two are for a person who signs in."""
        return {
            "LABEL_STUDIO_URL": self.url,
            "LABEL_STUDIO_API_KEY": self.token,
            "LABEL_STUDIO_USERNAME": ADMIN,
            "LABEL_STUDIO_PASSWORD": self.password,
        }

    def link(self) -> str | None:
        """Its first page."""
        return self.url

    def _database(self) -> dict[str, str]:
        if self.postgresql is None:
            return {"DJANGO_DB": "sqlite"}
        return {
            "DJANGO_DB": "default",
            "POSTGRE_HOST": HOST,
            "POSTGRE_PORT": str(self.postgresql.site.ports["sql"]),
            "POSTGRE_NAME": DATABASE,
            "POSTGRE_USER": ROLE,
            "POSTGRE_PASSWORD": self.postgresql.password,
            # Indexes for searching inside answers, which need extensions that the wheel's
            # PostgreSQL does not bring. We never search there.
            "SKIP_TRIGRAM_EXTENSION": "full",
            "SKIP_BTREE_GIN_EXTENSION": "full",
        }
