"""Steadiness and speed of videos: clips with ground truth, measures, reports."""
