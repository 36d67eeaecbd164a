import numpy as np
from rows import RowExample, multi_hot
from scipy import special

import fusedloss as fl

try:
    import torch
except ModuleNotFoundError:  # its rows go without a peer then
    torch = None


def unknown(sampler):
    """The same targets, but every fifth label is not known."""
    def sample(rng, n, columns):
        y = sampler(rng, n, columns)
        return np.where(rng.uniform(size=y.shape) < 0.2, np.nan, y)
    return sample


def soft(rng, n, columns):
    return np.where(rng.uniform(size=(n, columns)) < 0.3, rng.uniform(size=(n, columns)) < 0.5,
                    rng.uniform(size=(n, columns)))


def with_torch(values):
    """A peer from torch's function of one row of known labels (y, f)."""
    if torch is None:
        return None

    def peer(y, f):
        rows = [(torch.tensor(a[a == a]), torch.tensor(b[a == a])) for a, b in zip(y, f, strict=True)]
        return np.array([float(values(a, b)) if len(a) else 0.0 for a, b in rows])

    return peer


def cross_entropy(weight=None):
    """Of rows without unknown labels where there is a weight."""
    if torch is None:
        return None
    loss = torch.nn.BCEWithLogitsLoss(reduction="sum", pos_weight=None if weight is None else torch.tensor(weight))
    return with_torch(lambda y, f: loss(f, y))


def soft_margin(y, f):
    return torch.nn.functional.multilabel_soft_margin_loss(f[None], y[None])


def indices(y):
    """torch's targets: the indices of the present labels, then -1."""
    present = torch.nonzero(y)[:, 0]
    return torch.cat([present, torch.full((len(y) - len(present),), -1)])


def margin(y, f):
    return torch.nn.functional.multilabel_margin_loss(f[None], indices(y)[None])


def timm(gamma_neg, gamma_pos, clip):
    """AsymmetricLossMultiLabel as in timm, without its clamp of the logarithms' arguments."""
    def values(y, f):
        p, n = torch.sigmoid(f), (torch.sigmoid(-f) + clip).clamp(max=1.0)
        loss = y * torch.nn.functional.logsigmoid(f)
        loss += (1 - y) * (torch.nn.functional.logsigmoid(-f) if clip == 0 else torch.log(n))
        wrong = torch.where(y == 1, torch.sigmoid(-f), (p - clip).clamp(min=0.0))
        return -(loss * wrong ** torch.where(y == 1, gamma_pos, gamma_neg)).sum()
    return with_torch(values)


def focal_terms(gamma_neg, gamma_pos, clip):
    """The largest term P^(gamma + 1) (1 - P) of a bend without the clip, P what the wrong answer got.

    1e-24: what is below gets lost in differences of the value in 60 digits.
    """
    def terms(y, f):
        P, gamma = special.expit(np.where(y == 1, -f, f)), np.where(y == 1, gamma_pos, gamma_neg)
        return max(1e-24, np.max(P ** (gamma + 1.0) * (1.0 - P)))
    return terms


def zlpr(y, f):
    zeros = np.zeros((len(f), 1))
    absent, present = np.where(y == 0, f, -np.inf), np.where(y == 1, -f, -np.inf)
    return sum(special.logsumexp(np.hstack([zeros, side]), axis=1) for side in (absent, present))


def zlpr_terms(y, f):
    """The largest pi_k (1 - pi_k)."""
    terms = []
    for side in (np.append(f[y == 0], 0.0), np.append(-f[y == 1], 0.0)):
        pi = special.softmax(side)
        terms += [p * np.delete(pi, k).sum() for k, p in enumerate(pi)]
    return max(terms)


ASYMMETRIC = (4.0, 1.0, 0.05)
FOCAL = ((2.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.5, 0.1), (0.5, 3.0, 0.0), (1.0, 1.0, 0.2))
WEIGHTS = {1: (2.5,), 2: (0.5, 3.0), 3: (1.0, 0.25, 8.0)}

ROWS = [
    *(RowExample(fl.MultilabelBinaryCrossEntropy(), c, y=unknown(multi_hot), peer=cross_entropy()) for c in (1, 2, 3, 7)),
    *(RowExample(fl.MultilabelBinaryCrossEntropy(w), c, y=multi_hot, peer=cross_entropy(w)) for c, w in WEIGHTS.items()),
    RowExample(fl.MultilabelBinaryCrossEntropy(), 3, y=unknown(soft), peer=cross_entropy(), scale=lambda y, f: 1.0),
    RowExample(fl.MultilabelBinaryCrossEntropy(WEIGHTS[3]), 3, y=unknown(soft), scale=lambda y, f: 8.0),
    *(RowExample(fl.MultilabelSoftMargin(), c, y=unknown(multi_hot), peer=with_torch(soft_margin)) for c in (1, 2, 7)),
    RowExample(fl.MultilabelSoftMargin(), 3, y=soft, peer=with_torch(soft_margin), scale=lambda y, f: 1.0),
    *(RowExample(fl.AsymmetricLoss(*p), c, y=unknown(multi_hot), peer=timm(*p), scale=focal_terms(*p))
      for c, p in ((1, ASYMMETRIC), (2, ASYMMETRIC), (3, ASYMMETRIC), (7, ASYMMETRIC), *((4, p) for p in FOCAL))),
    *(RowExample(fl.ZLPR(), c, y=unknown(multi_hot), peer=zlpr, scale=zlpr_terms) for c in (1, 2, 3, 7)),
    *(RowExample(fl.MultilabelMargin(m), c, y=multi_hot, peer=with_torch(margin) if m == 1 else None,
                 scale=lambda y, f: 1.0 + np.max(abs(f))) for c, m in ((1, 1.0), (2, 1.0), (3, 1.0), (7, 1.0), (7, 0.2))),
    RowExample(fl.MultilabelMargin(), 4, y=unknown(multi_hot), scale=lambda y, f: 1.0 + np.max(abs(f))),
]
