import numpy as np
from rows import RowExample, numbers, positive
from scipy import stats

import fusedloss as fl


def locations_and_scales(rng, n, columns):
    """Some scales are a tenth of the errors, some ten times as large."""
    return np.stack([rng.normal(0.0, 1.5, n), rng.normal(0.0, 0.8, n)], axis=1)


def narrow(rng, n, columns):
    return np.stack([rng.normal(0.0, 1.0, n), rng.normal(-0.5, 0.6, n)], axis=1)


def standardised(standard):
    """sigma times the textbook's CRPS of the standard distribution."""
    def peer(y, f):
        sigma = np.exp(f[:, 1])
        return sigma * standard((y - f[:, 0]) / sigma)

    return peer


def standard_normal(z):
    return z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)


def standard_laplace(z):
    return abs(z) + 2 * stats.laplace.sf(abs(z)) - 0.75


def standard_logistic(z):
    return z - 2 * np.log(stats.logistic.cdf(z)) - 1


def lognormal(y, f):
    mu, sigma = f[:, 0], np.exp(f[:, 1])
    w = (np.log(y) - mu) / sigma
    cdf = stats.norm.cdf
    return y * (2 * cdf(w) - 1) - 2 * np.exp(mu + sigma**2 / 2) * (cdf(w - sigma) + cdf(sigma / np.sqrt(2)) - 1)


def by_pairs(fair):
    """The definition: all pairs of members."""
    def peer(y, f):
        m = f.shape[1]
        pairs = abs(f[:, :, None] - f[:, None, :]).sum((1, 2))
        return abs(f - y[:, None]).mean(1) - pairs / (2 * m * max(m - 1, 1) if fair else 2 * m * m)

    return peer


def unit(y, f):
    """The error, and sigma or what the curvature at the centre is, its inverse."""
    mu, sigma = f[0], np.exp(f[1])
    return max(abs(y - mu), sigma, 1 / sigma)


def lognormal_unit(y, f):
    """Rounding in exponents of e; l_ss multiplies by up to sigma^4, l_mumu divides by sigma."""
    mu, sigma = f[0], np.exp(f[1])
    powers = max(1 / sigma, sigma**4)
    return max(y, np.exp(mu + sigma**2 / 2)) * powers * max(1.0, abs(np.log(y)), abs(mu))


LOCATION_SCALE = ((fl.GaussianCRPS(), standard_normal), (fl.LaplaceCRPS(), standard_laplace),
                  (fl.LogisticCRPS(), standard_logistic))

ROWS = [
    *(RowExample(loss, columns=2, y=numbers, f=locations_and_scales, peer=standardised(standard), scale=unit)
      for loss, standard in LOCATION_SCALE),
    RowExample(fl.LogNormalCRPS(), columns=2, y=positive, f=narrow, peer=lognormal, scale=lognormal_unit),
    *(RowExample(fl.EnsembleCRPS(fair=fair), columns=m, y=numbers, peer=by_pairs(fair))
      for fair in (False, True) for m in (1, 2, 3, 7)),
]
