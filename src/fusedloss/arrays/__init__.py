"""Array types: the caller's arrays as canonical views, and results in the caller's kind."""
