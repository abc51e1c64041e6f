"""What is decided about an event, as pure functions of state and event."""
