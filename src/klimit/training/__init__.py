"""Training with the KL priced as the theory prices it.

Needs the extra ``klimit[train]``; PPO needs ``klimit[ppo]``.
"""
