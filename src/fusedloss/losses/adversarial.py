"""Losses of generative adversarial training, on the scores f of the discriminator: y = 1 real, y = 0 generated.

`side="discriminator"` is what the discriminator minimises; `side="generator"` what the generator minimises. The real
samples are constants for the generator, so there rows with y = 1 cost 0 and have no gradient. They still count in the
"mean": give the generator's loss generated samples only, or mask the real ones.
"""

from math import inf

from ..curvatures import BOUNDED_GRADIENT, CONSTANT_HESSIAN
from ..domain import BINARY
from ..loss import Elementwise, choice
from ..vecmath import log, sigmoid, softplus, where
from .binary import sign

__all__ = ["GANMinimax", "GANNonSaturating", "HingeGAN", "LeastSquaresGAN", "WassersteinGAN"]


class _Adversarial(Elementwise):
    """Both sides' losses in one class: formulas read `self.discriminator`, which is compiled in."""

    side: str = choice("discriminator", "generator")
    y_domain = BINARY

    @property
    def discriminator(self):
        return self.side == "discriminator"


def _towards_real(mean):
    """The generator's best constant score where more is always better; 0 if there are no generated samples at all."""
    return inf if mean < 1 else 0.0


class GANMinimax(_Adversarial):
    r"""The original game: the discriminator's log-likelihood, which the generator minimises as it is.

    `side="discriminator"`: -log(sigma(f)) for real, -log(1 - sigma(f)) for generated samples, BinaryCrossEntropy.
    `side="generator"`: log(1 - sigma(f)) for generated samples, 0 for real ones.

    Domain: y 0 or 1, f any logit, infinite ones included. The generator's loss is negative, unbounded below, concave
    (Hessian -p (1 - p)), and its gradient vanishes where the discriminator is sure: see GANNonSaturating.
    Goodfellow et al., "Generative adversarial nets", NIPS 2014.
    """

    formula = "D: ln(1 + e^-f) if y = 1 else ln(1 + e^f);  G: 0 if y = 1 else -ln(1 + e^f)"
    peers = ("torch.nn.BCEWithLogitsLoss (discriminator)",)
    link = "logit"

    @property
    def convex(self):
        return self.discriminator

    @property
    def strict(self):
        return self.discriminator

    @property
    def claims(self):
        return BOUNDED_GRADIENT if self.discriminator else BOUNDED_GRADIENT | {"fisher": None}

    def value(self, y, f):
        loss = softplus(where(y == 1, -f, f))
        return loss if self.discriminator else where(y == 1, 0.0, -loss)

    def gradient(self, y, f):
        slope = sigmoid(where(y == 1, -f, f))
        return where(y == 1, -slope, slope) if self.discriminator else where(y == 1, 0.0, -slope)

    def hessian(self, y, f):
        curvature = sigmoid(f) * sigmoid(-f)
        return curvature if self.discriminator else where(y == 1, 0.0, -curvature)

    def fisher_diagonal(self, y, f):
        return sigmoid(f) * sigmoid(-f)

    def largest_curvature(self, y, f):
        return 0.25

    def optimum(self, mean):
        return log(mean) - log(1 - mean) if self.discriminator else _towards_real(mean)


class GANNonSaturating(_Adversarial):
    r"""GANMinimax with a generator that learns most where it is caught: it maximises log(sigma(f)).

    `side="discriminator"`: -log(sigma(f)) for real, -log(1 - sigma(f)) for generated samples, BinaryCrossEntropy.
    `side="generator"`: -log(sigma(f)) for generated samples, 0 for real ones.

    Domain: y 0 or 1, f any logit, infinite ones included. Hessian: p (1 - p), for the generator 0 where y = 1.
    Goodfellow et al., "Generative adversarial nets", NIPS 2014, section 3.
    """

    formula = "D: ln(1 + e^-f) if y = 1 else ln(1 + e^f);  G: 0 if y = 1 else ln(1 + e^-f)"
    peers = ("torch.nn.BCEWithLogitsLoss (generator: with targets 1)",)
    link = "logit"

    @property
    def strict(self):
        return self.discriminator

    @property
    def claims(self):
        return BOUNDED_GRADIENT if self.discriminator else BOUNDED_GRADIENT | {"fisher": None}

    def value(self, y, f):
        return softplus(where(y == 1, -f, f)) if self.discriminator else where(y == 1, 0.0, softplus(-f))

    def gradient(self, y, f):
        slope = sigmoid(where(y == 1, -f, f))
        return where(y == 1, -slope, slope) if self.discriminator else where(y == 1, 0.0, -sigmoid(-f))

    def hessian(self, y, f):
        curvature = sigmoid(f) * sigmoid(-f)
        return curvature if self.discriminator else where(y == 1, 0.0, curvature)

    def fisher_diagonal(self, y, f):
        return sigmoid(f) * sigmoid(-f)

    def largest_curvature(self, y, f):
        return 0.25

    def optimum(self, mean):
        return log(mean) - log(1 - mean) if self.discriminator else _towards_real(mean)


class LeastSquaresGAN(_Adversarial):
    r"""Squared distance of the score to its target, 1 for real and 0 for generated: gradients that do not vanish.

    `side="discriminator"`: (f - y)^2 / 2.
    `side="generator"`: (f - 1)^2 / 2 for generated samples, 0 for real ones.

    Domain: y 0 or 1, f any real number. The paper's 0-1 coding (a = 0, b = c = 1) and its factor 1/2.
    Hessian: 1, for the generator 0 where y = 1.
    Mao et al., "Least squares generative adversarial networks", ICCV 2017.
    """

    formula = "D: (f - y)²/2;  G: 0 if y = 1 else (f - 1)²/2"
    notes = "Many implementations drop the factor 1/2."
    peers = ("torch.nn.MSELoss (twice this)",)

    @property
    def strict(self):
        return self.discriminator

    @property
    def claims(self):
        return CONSTANT_HESSIAN if self.discriminator else CONSTANT_HESSIAN | {"fisher": None}

    def value(self, y, f):
        d = f - y if self.discriminator else where(y == 1, 0.0, f - 1)
        return 0.5 * d * d

    def gradient(self, y, f):
        return f - y if self.discriminator else where(y == 1, 0.0, f - 1)

    def hessian(self, y, f):
        return 1.0 if self.discriminator else 1 - y

    def fisher_diagonal(self, y, f):
        return 1.0

    def largest_curvature(self, y, f):
        return 1.0

    def optimum(self, mean):
        return mean if self.discriminator else 1.0


class HingeGAN(_Adversarial):
    r"""Hinge for the discriminator, which stops at scores beyond +-1; a linear generator. Common with spectral norms.

    `side="discriminator"`: max(0, 1 - f) for real, max(0, 1 + f) for generated samples, Hinge.
    `side="generator"`: -f for generated samples, 0 for real ones.

    Domain: y 0 or 1, f any real number. Gradient 0 at the corners; Hessian 0 everywhere.
    Lim and Ye, "Geometric GAN", arXiv:1705.02894, 2017.
    """

    formula = "D: max(0, 1 - f) if y = 1 else max(0, 1 + f);  G: 0 if y = 1 else -f"
    link = "score"

    @property
    def smooth(self):
        return not self.discriminator

    @property
    def claims(self):
        return {} if self.discriminator else CONSTANT_HESSIAN

    def value(self, y, f):
        return max(1 - (2 * y - 1) * f, 0.0) if self.discriminator else where(y == 1, 0.0, -f)

    def gradient(self, y, f):
        s = 2 * y - 1
        return where(s * f < 1, -s, 0.0) if self.discriminator else y - 1

    def hessian(self, y, f):
        return 0.0

    def optimum(self, mean):
        return sign(mean - 0.5) if self.discriminator else _towards_real(mean)


class WassersteinGAN(_Adversarial):
    r"""Difference of mean scores: the critic estimates the earth mover's distance of real and generated samples.

    `side="discriminator"` (critic): -f for real, f for generated samples.
    `side="generator"`: -f for generated samples, 0 for real ones.

    Domain: y 0 or 1, f any real number. Unbounded below: it needs a critic that is kept 1-Lipschitz (clipped weights,
    gradient penalty), which is the caller's. Hessian 0 everywhere.
    Arjovsky, Chintala and Bottou, "Wasserstein generative adversarial networks", ICML 2017.
    """

    formula = "D: -f if y = 1 else f;  G: 0 if y = 1 else -f"
    claims = CONSTANT_HESSIAN

    def value(self, y, f):
        return where(y == 1, -f, f) if self.discriminator else where(y == 1, 0.0, -f)

    def gradient(self, y, f):
        return 1 - 2 * y if self.discriminator else y - 1

    def hessian(self, y, f):
        return 0.0

    def optimum(self, mean):
        if self.discriminator:
            return 0.0 if mean == 0.5 else sign(mean - 0.5) * inf
        return _towards_real(mean)
