"""Load on one gateway: calls, watches and uploads, measured from outside of its process."""
