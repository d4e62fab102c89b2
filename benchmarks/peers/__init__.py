"""One small program for each client that is measured, run inside an environment of its own. See `worker.py`."""
