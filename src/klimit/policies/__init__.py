"""What a policy gets for its KL: best-of-N and its relatives on the plane of KL and gain."""

from klimit.policies.best import best_of_n
from klimit.policies.curve import PolicyCurve
from klimit.policies.poisson import best_of_poisson
from klimit.policies.rejection import rejection_sampling
from klimit.policies.soft import soft_best_of_n

__all__ = ["PolicyCurve", "best_of_n", "best_of_poisson", "rejection_sampling", "soft_best_of_n"]
