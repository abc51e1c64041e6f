"""The registry: the file that people write about accounts and connections, and what was made of it."""
