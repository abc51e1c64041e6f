"""Forgetting a person: what is known of them goes, and digests stay that keep them away (G7)."""
