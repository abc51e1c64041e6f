"""History again: what sync took in, in its order, and what today's code makes of it (P17)."""
