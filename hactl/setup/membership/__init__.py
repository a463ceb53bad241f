"""`hactl node add|remove|replace|rename`: machines come and go while the cluster runs."""
