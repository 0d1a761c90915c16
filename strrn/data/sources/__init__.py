"""Where faces and videos come from, one small module each."""
