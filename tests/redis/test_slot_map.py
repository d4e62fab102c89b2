"""Addresses in slot maps and redirects of cluster nodes."""

from __future__ import annotations

import pytest

from chuk_sessions.backends.redis.options import Address
from chuk_sessions.backends.redis.topology.slot_map import SlotRange, parse_redirect, slot_ranges

ASKED = Address("asked", 7000)


@pytest.mark.parametrize(
    ("node", "address"),
    [
        ([b"10.0.0.1", 7001, b"id"], Address("10.0.0.1", 7001)),
        ([b"10.0.0.1", 7001, b"id", [b"hostname", b"one.example"]], Address("10.0.0.1", 7001)),
        ([b"one.example", 7001, b"id", {b"ip": b"10.0.0.1"}], Address("one.example", 7001)),
        ([b"", 7001, b"id"], Address("asked", 7001)),
        ([None, 7001, b"id", []], Address("asked", 7001)),
        ([None, 7001, b"id", [b"ip", b"10.0.0.1"]], Address("10.0.0.1", 7001)),
        ([b"?", 7001, b"id", {b"ip": b"10.0.0.1"}], Address("10.0.0.1", 7001)),
        ([b"?", 7001, b"id", {b"ip": b"", b"hostname": b"?"}], Address("asked", 7001)),
        ([b"fd00::1", 7001, b"id"], Address("fd00::1", 7001)),
    ],
)
def test_nodes_can_announce_their_address_in_several_ways(node, address):
    assert slot_ranges([[0, 99, node]], ASKED) == [SlotRange(0, 99, address, ())]


def test_replicas_follow_the_primary():
    reply = [[0, 8191, [b"a", 1, b"x"], [b"b", 2, b"y"]], [8192, 16383, [b"c", 3, b"z"]]]
    assert slot_ranges(reply, ASKED) == [
        SlotRange(0, 8191, Address("a", 1), (Address("b", 2),)),
        SlotRange(8192, 16383, Address("c", 3), ()),
    ]


@pytest.mark.parametrize(
    ("message", "address"),
    [
        ("MOVED 3999 127.0.0.1:6381", Address("127.0.0.1", 6381)),
        ("ASK 3999 one.example:6381", Address("one.example", 6381)),
        ("MOVED 3999 :6381", Address("asked", 6381)),
        ("MOVED 3999 ?:6381", Address("asked", 6381)),
        ("MOVED 3999 fd00::1:6381", Address("fd00::1", 6381)),
        ("ASK 3999 [fd00::1]:6381", Address("fd00::1", 6381)),
    ],
)
def test_redirects(message, address):
    assert parse_redirect(message, ASKED) == (3999, address)


@pytest.mark.parametrize("message", ["MOVED", "MOVED somewhere", "ASK 3999 nowhere"])
def test_other_messages_are_no_redirects(message):
    assert parse_redirect(message, ASKED) is None
