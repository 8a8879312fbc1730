"""The benchmark that anyone can run, `minadder bench`: speed and memory of layers and of whole training steps."""
