"""The model at work: bundle, exposure, network, full resolution, steadiness over time."""
