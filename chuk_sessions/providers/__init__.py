"""The provider API: single values under keys, with a time to live. Each module here has a `factory()`."""
