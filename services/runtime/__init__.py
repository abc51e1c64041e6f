"""What touches the world: settings, telemetry, HTTP, secrets, the clock, the log and the store."""
