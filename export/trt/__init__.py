"""Building TensorRT engines: which library, which shapes, which tensor types, and the build itself. Needs no torch."""
