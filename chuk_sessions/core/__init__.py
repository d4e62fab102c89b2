"""Pure parts of the library: no I/O, no knowledge of backends."""
