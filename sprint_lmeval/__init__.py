"""sprint-lmeval: an LM Evaluation Harness plugin for best-of-N with pruned attention heads.

Nothing heavy is imported here: the start-up hook imports this package in every Python process of the environment.
"""

__version__ = "0.1.0"
