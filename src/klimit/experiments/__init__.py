"""Whole experiments from one file: base model, prompts, rewards, betas and trainers in, one page of answers out.

See :func:`klimit.experiment`. Everything here needs the extra ``klimit[train]``; PPO needs ``klimit[ppo]``.
"""
