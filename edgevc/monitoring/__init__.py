"""What a session tells other programs: Prometheus and systemd."""
