"""What a shell would make of a command line, as far as that can be known before it runs."""
