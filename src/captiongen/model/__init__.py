"""The captioner: timm encoder, Transformer decoder, and their checkpoints."""
