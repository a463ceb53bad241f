"""The daemon's periodic looks, beside the loop that decides."""
