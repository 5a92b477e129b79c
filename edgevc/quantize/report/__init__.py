"""What was measured, as text, JSON and a page."""
