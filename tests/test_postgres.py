"""The server that tests use."""

import psycopg
from postgres import PostgresServer


def test_the_server_is_a_real_one_with_pgvector(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE EXTENSION vector")
        found = connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'::vector").fetchone()
    assert found == (1.0,)


def test_each_test_has_a_database_of_its_own(postgres_server: PostgresServer, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert found == (0,)
    assert postgres_url != postgres_server.url()
