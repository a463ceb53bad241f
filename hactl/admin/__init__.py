"""The operator's actions, each written once: the API and the command line both call them."""
