"""From trained modules to streaming graphs, quantized, compared and bundled."""
