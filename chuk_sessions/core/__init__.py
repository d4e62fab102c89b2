"""Pure parts of the library, which do no I/O and know no backend."""
