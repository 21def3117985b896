"""The front door: one HTTP listener for REST, WebSockets, documentation and metrics."""
