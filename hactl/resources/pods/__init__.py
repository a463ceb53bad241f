"""Static pods: what a manifest says, and whether its pod runs."""
