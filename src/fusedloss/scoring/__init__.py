"""Which model is better, by which loss, on which slice, and is the difference real: one pass over the data."""

from .score import Scorer, score
from .table import Difference, ScoreRow, Scores

__all__ = ["Difference", "ScoreRow", "Scorer", "Scores", "score"]
