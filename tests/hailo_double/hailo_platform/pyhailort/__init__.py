"""As in the real package: the extension, and the Python around it."""
