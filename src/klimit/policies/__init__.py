"""What a policy gets for its KL: best-of-N and its relatives on the plane of KL and gain."""

from klimit.policies.best import best_of_n
from klimit.policies.curve import PolicyCurve

__all__ = ["PolicyCurve", "best_of_n"]
