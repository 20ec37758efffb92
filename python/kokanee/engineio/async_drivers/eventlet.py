"""Exists for programs that name it, so that bundlers include it. The package needs nothing of it."""
