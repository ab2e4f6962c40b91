"""The command line, one module a command; what needs torch is imported when a command runs."""
