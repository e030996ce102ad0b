"""Many inputs over a Ray cluster: which units there are, what is done, and the worker that runs one of them."""
