"""Simulated devices, for edgevc's own tests and for yours."""
