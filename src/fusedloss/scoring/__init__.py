"""Which model is better, by which loss, on which slice, and is the difference real: one pass over the data."""

from .accumulator import Accumulator
from .files import score_files
from .score import Scorer, score
from .sources import DataError
from .table import Difference, MetricRow, ScoreRow, Scores

__all__ = ["Accumulator", "DataError", "Difference", "MetricRow", "ScoreRow", "Scorer", "Scores", "score", "score_files"]
