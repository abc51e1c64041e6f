"""Archives: what an installation knows, as checked and compressed lines of JSON, in a folder or in one file."""
