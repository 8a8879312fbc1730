"""Losses on logits, fused with the softmax or the sigmoid so that nothing overflows."""
