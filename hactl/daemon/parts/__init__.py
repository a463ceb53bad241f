"""The parts of the daemon that carry effects out, or keep its memory."""
