"""The report: results and targets as tables and plots."""
