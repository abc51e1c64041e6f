"""Logging in to an app: how it is done, the code flow of OAuth 2, and what a login may do."""
