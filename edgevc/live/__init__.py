"""Live conversion: sound devices, the frame scheduler, and what a person or a service sees of it."""
