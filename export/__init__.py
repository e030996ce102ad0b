"""From a checkpoint to what the runtime executes: ONNX graphs that share one file of weights, and their parity."""
