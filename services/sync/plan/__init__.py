"""What would be written under other rules: decided on a copy of what is known, nothing is sent or stored (G3)."""
