"""The decide side: pure functions and state machines. No I/O, no clock, no threads, no randomness, no logging."""
