"""Training: networks, losses, data and the two training commands. Needs torch."""
