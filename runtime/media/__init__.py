"""Media in and out: pictures, numbered sequences and their colours."""
