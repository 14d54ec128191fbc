"""Choosing one of N stored answers, without generating again: votes, probabilities, reward models."""
