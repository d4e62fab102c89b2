"""Operations that need several calls to a backend."""
