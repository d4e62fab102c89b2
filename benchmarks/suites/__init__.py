"""The suites: each measures one aspect.

To add a suite, write a function `measure(settings, results)`, and enter it in SUITES (`harness/run.py`) and the titles
of its sections in TITLES (`report/page.py`). Optional are targets (`report/targets.py`), a chart in CHARTS
(`report/plots.py`), and a table in TABLES (`report/tables.py`), which needs markers in docs/performance.md.
"""
