"""Features, pitch and resampling in C++, each usable alone."""
