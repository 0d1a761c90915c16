"""The networks: MDM, HGN (hourglass), the STRRN tracker, and their checkpoints."""
