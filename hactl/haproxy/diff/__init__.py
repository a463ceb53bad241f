"""From one configuration of HAProxy to another: parsed, compared, the smallest step. Pure."""
