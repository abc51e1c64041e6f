"""What crosses a boundary between services: pure data."""
