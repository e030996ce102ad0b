"""From a checkpoint to what the runtime executes: ONNX graphs that share one file of weights, and their parity."""

if __name__ == "export":  # `python -m export.NAME` in a checkout: one package, not two
    import sys

    import intrinsic_flow.export

    sys.modules["export"] = intrinsic_flow.export
