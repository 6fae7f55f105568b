"""MLflow's server, from our own environment: runs, models, and their files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from retrue.stack.loopback import HOST
from retrue.stack.service import Launch, Say, Site, answers

__all__ = ["MLflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MLflow:
    """A server on SQLite that also serves the models' files. It asks nobody who they are."""

    name: ClassVar[str] = "mlflow"
    ports: ClassVar[tuple[str, ...]] = ("http",)
    needs: ClassVar[tuple[str, ...]] = ()
    ready_seconds: ClassVar[float] = 300.0  # 12 s on a quiet machine
    site: Site

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.site.ports['http']}"

    def prepare(self, say: Say) -> None:
        """Nothing is missing: it makes its tables itself."""

    def launch(self) -> Launch:
        """One worker process: what we do is small."""
        folder = self.site.folder
        return Launch(
            command=(
                *(sys.executable, "-m", "mlflow", "server"),
                *("--host", HOST, "--port", str(self.site.ports["http"]), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.sqlite'}"),
                *("--artifacts-destination", (folder / "artifacts").as_uri()),
            ),
            environment={
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "1",
                # Eight more processes, 2 GB, for evaluations of language models on the server.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
        )

    def is_ready(self) -> bool:
        """Whether it reads its tables."""
        reply = answers(f"{self.url}/api/2.0/mlflow/experiments/get?experiment_id=0")
        return reply is not None and "experiment" in reply.json()

    def environment(self) -> Mapping[str, str]:
        """The usual name."""
        return {"MLFLOW_TRACKING_URI": self.url}

    def link(self) -> str | None:
        """Its first page."""
        return self.url
