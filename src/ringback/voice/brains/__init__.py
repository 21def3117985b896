"""What thinks for a hosted agent: the built-in script, or a language model somewhere."""
