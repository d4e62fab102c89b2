"""The peers' programs: one per client, each run in an environment of its own."""
