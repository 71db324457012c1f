"""klimit: how much reward any alignment method can buy for a given KL from the base model."""

__version__ = "0.1.0"
