"""Makes a voice of one's own from recordings of a minute or more, on a PC's processor; needs PyTorch (extra `voices`).

The model's networks are read from its int8 files, so that nothing else has to be had, and what is tuned fits what will
speak.
"""
