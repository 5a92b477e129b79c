"""What several tests need and no product does: doubles, bundles, sound servers, programs that are started."""
