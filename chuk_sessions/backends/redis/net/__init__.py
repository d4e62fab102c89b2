"""Connections to one Redis node: RESP, connections and their slots, limits, login, and the node that joins them."""
