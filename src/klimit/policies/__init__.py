"""What a policy gets for its KL: best-of-N and its relatives on the plane of KL and gain."""
