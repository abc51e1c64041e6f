"""Verifies webhooks, polls feeds and publishes events."""
