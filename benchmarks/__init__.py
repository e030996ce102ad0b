"""Measurements of the project: quality, latency."""

if __name__ == "benchmarks":  # `python -m benchmarks.NAME` in a checkout: one package, not two
    import sys

    import intrinsic_flow.benchmarks

    sys.modules["benchmarks"] = intrinsic_flow.benchmarks
