"""The steps of optimisers: what they do to each weight, given its gradient."""
