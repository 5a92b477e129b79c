"""What a session shows on a terminal."""
