"""Consumes events, decides, and emits commands."""
