"""Being here puts `tests/` on the import path, for what several suites share."""

import os
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from retrue.stack.label_studio import DATABASE
from services import postgresql, seaweedfs
from services.label_studio import LabelStudioServer, running


@pytest.fixture(scope="session")
def label_studio_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A real Label Studio, started when the first test of a run asks for it."""
    with running(tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture(scope="session")
def label_studio_on_postgresql(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LabelStudioServer]:
    """As a team runs it, and as `retrue stack` does."""
    with (
        postgresql.running(DATABASE) as database,
        running(tmp_path_factory.mktemp("label-studio-postgresql"), database.service) as server,
    ):
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def label_studio_server(request: pytest.FixtureRequest) -> LabelStudioServer:
    """The one, then the other: filters, ids and times differ between them."""
    return request.getfixturevalue(f"label_studio_on_{request.param}")


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweedfs.SeaweedFS]:
    """A real S3 server with two buckets: `plain`, and `versioned` which keeps versions."""
    with seaweedfs.running(tmp_path_factory.mktemp("seaweedfs")) as server:
        with closing(server.client()) as client:
            for bucket in ("plain", "versioned"):
                client.create_bucket(Bucket=bucket)
            client.put_bucket_versioning(
                Bucket="versioned", VersioningConfiguration={"Status": "Enabled"}
            )
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL: the one RETRUE_TEST_POSTGRES names, else one we start."""
    pytest.importorskip("psycopg", reason="needs PostgreSQL's driver: psycopg[binary]")
    if named := os.environ.get("RETRUE_TEST_POSTGRES"):
        yield named
    else:
        with postgresql.running() as server:
            yield server.url


@pytest.fixture
def postgres_schema(postgres: str) -> Iterator[str]:
    """The URL of an empty schema of its own."""
    schema = f"retrue_{uuid4().hex}"
    where = make_url(postgres).set(drivername="postgresql+psycopg")
    admin = create_engine(where)
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    inside = where.update_query_dict({"options": f"-csearch_path={schema}"})
    yield inside.render_as_string(hide_password=False)
    with admin.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()
