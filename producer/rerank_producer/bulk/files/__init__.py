"""Files of bulk runs: inputs as streams, compressed or not, and outputs that are safe on the disk."""
