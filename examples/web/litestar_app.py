"""A shop with Litestar. Run `SESSION_PROVIDER=redis uvicorn --workers 2 examples.web.litestar_app:app`."""
