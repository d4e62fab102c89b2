"""Backends that run operations: the emulator, Redis, and custom providers."""
