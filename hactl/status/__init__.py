"""The read side: the status document and its warnings, from what the store holds. Pure."""
