"""Stripe: webhooks verified and read, customers listed, looked at and written; a sandbox judges it."""
