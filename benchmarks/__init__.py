"""Benchmarks: the library's speed, compared with other clients and with what the server itself can do."""
