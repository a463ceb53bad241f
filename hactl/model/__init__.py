"""The vocabulary: frozen types for configuration, view, events, effects and reports. No behaviour, no I/O."""
