"""Taking back what was written, by compensating writes (G6)."""
