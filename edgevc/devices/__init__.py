"""Sound devices and pipes behind one port, and what they are called."""
