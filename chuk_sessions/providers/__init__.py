"""The provider API: single values under keys, with a time to live. Each provider is a module with a `factory()`."""
