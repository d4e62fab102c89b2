"""The fault matrix: what is promised for each fault, and what is counted when it strikes under load.

`python -m tests.faults` runs all of it and writes `docs/faults.md`; `test_matrix.py` is a shorter form among the tests.
"""
