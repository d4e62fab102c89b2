"""bench: figures of four operations, and an empty sandbox afterwards."""

from __future__ import annotations

from tests.cli.conftest import Store


def test_bench_measures_and_cleans_up(store):
    store.create("alice")
    ran = store.run("bench", "--seconds", "0.1", "--callers", "4")
    assert [row["operation"] for row in ran.rows] == ["allocate", "validate", "read", "merge"]
    assert all(row["calls_per_second"] > 0 and 0 < row["p50_ms"] <= row["p99_ms"] for row in ran.rows)
    assert store.run("count").rows[0]["sessions"] == 1


def test_bench_leaves_no_key_of_its_own(server, capsys):
    Store(server.url, capsys).run("bench", "--seconds", "0.05", "--callers", "2")
    with server.client() as client:
        assert [key for key in client.keys("*bench-*") if client.type(key) != b"hash"] == []
