"""The networks: content encoder, decoder, and the discriminators that only training sees."""
