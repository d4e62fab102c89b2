"""Connections to one node."""
