"""Other blocks and networks, for the studies of the paper."""
