"""Scores on data sets: methods, data sets, metrics and the protocols that join them."""
