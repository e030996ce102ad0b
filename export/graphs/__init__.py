"""A bundle's graphs: the modules that are traced, and what is done to the traced graphs."""
