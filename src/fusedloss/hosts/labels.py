"""Class labels of boosting libraries, which keep them as float32."""

from __future__ import annotations

import numpy as np


def classes(loss, label):
    """The labels as integers; ValueError for the first that is none."""
    label = np.asarray(label)
    with np.errstate(invalid="ignore"):
        found = label.astype(np.int32)
    wrong = np.flatnonzero(found != label)
    if wrong.size:
        raise ValueError(f"label[{wrong[0]}] = {label[wrong[0]]}: {loss.name} needs the classes 0, 1, 2 ...")
    return found
