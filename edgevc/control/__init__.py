"""Commands for a running session, over a socket of this machine."""
