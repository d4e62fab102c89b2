"""The parts that all suites share: processes and their cores, environments, rounds, and the command line."""
