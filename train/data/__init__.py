"""Training data: shard files, a built-in procedural source, the in-memory store and the augmentation on top of it."""
