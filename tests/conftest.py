"""Being here puts `tests/` on the import path, for what several suites share."""

from collections.abc import Iterator

import pytest

from services.label_studio import LabelStudioServer, running


@pytest.fixture(scope="session")
def label_studio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A real Label Studio, started when the first test of a run asks for it."""
    with running(tmp_path_factory.mktemp("label-studio")) as server:
        yield server
