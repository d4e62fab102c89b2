"""The fault matrix: the promises for each fault, and the counts when it strikes under load.

`python -m tests.faults` runs all of it and writes `docs/faults.md`. `test_matrix.py` runs a shorter form.
"""
