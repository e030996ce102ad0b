"""Parts of the command `python -m runtime.decompose`, one idea a file."""
