"""What a trained policy got for its KL, and where the rest went."""
