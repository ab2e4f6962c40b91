"""A server that a vision-language model answers from: its address and its key."""
