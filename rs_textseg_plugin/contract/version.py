"""The version of the product and of the wire."""

VERSION = "0.1.0"
PROTOCOL = 4  # raised whenever a message on the wire changes its meaning
