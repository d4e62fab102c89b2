"""What runs operations: the emulator, Redis, or a provider of somebody else's making."""
