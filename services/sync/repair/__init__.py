"""Recomputing what should be from what is last known, and sending what is missing (G5, P17)."""
