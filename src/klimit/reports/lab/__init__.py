"""What the command ``lab`` says."""
