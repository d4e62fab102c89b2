"""Nodes of a store: a standalone server, a primary that Sentinels watch, or a cluster."""
