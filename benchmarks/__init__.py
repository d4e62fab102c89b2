"""How fast the library is, against what else, and how far from what the server itself can do. See `run.py`."""
