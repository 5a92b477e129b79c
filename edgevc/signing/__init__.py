"""Who made a model: Ed25519 signatures in minisign's format, and the keys that this machine trusts.

`ed25519` checks a signature, `minisign` reads and writes the files, `keys` makes secret keys and signs with them,
`trusted` knows whose signatures count, `rotation` hands that over from an old key to a new one.
"""
