"""The catalogue: one class per loss, a module per family. The names stand here so that a module is loaded when needed."""

FAMILIES = {
    "regression": (
        "HalfSquaredError", "SquaredError", "AbsoluteError", "Huber", "SmoothL1", "PseudoHuber", "Charbonnier", "LogCosh",
        "Fair", "Cauchy", "Welsch", "GemanMcClure", "TukeyBiweight", "Andrews", "GeneralRobust", "EpsilonInsensitive",
        "SquaredEpsilonInsensitive", "Linex", "Lq", "SquaredLogError", "AbsolutePercentageError",
        "SymmetricAbsolutePercentageError",
    ),
    "quantile": ("Pinball", "SoftplusPinball", "ArctanPinball", "HuberPinball", "Expectile"),
    "binary": (
        "BinaryCrossEntropy", "BinaryBrier", "BinaryFocal", "BinaryPoly1", "BinaryGeneralizedCrossEntropy", "Probit",
        "ComplementaryLogLog", "Hinge", "SquaredHinge", "SmoothedHinge", "ModifiedHuber", "Exponential", "Savage",
        "Tangent", "Perceptron",
    ),
    "count": (
        "Poisson", "Gamma", "Tweedie", "InverseGaussian", "NegativeBinomial", "PoissonDeviance", "GammaDeviance",
        "TweedieDeviance", "InverseGaussianDeviance",
    ),
    "multiclass": (
        "CategoricalCrossEntropy", "CategoricalFocal", "GeneralizedCrossEntropy", "SymmetricCrossEntropy", "Poly1",
        "BiTempered", "MulticlassBrier", "Spherical", "MultiMargin", "CrammerSinger", "Sparsemax", "LogitAdjusted", "LDAM",
        "CostSensitive", "ForwardCorrected", "PartialLabel", "Bootstrapped",
    ),
    "multilabel": (
        "AsymmetricLoss", "MultilabelBinaryCrossEntropy", "MultilabelMargin", "MultilabelSoftMargin", "ZLPR",
    ),
    "ordinal": (
        "CumulativeLogit", "RankedProbabilityScore", "Coral", "Corn",
    ),
    "divergence": (
        "KullbackLeibler", "ReverseKL", "JensenShannon", "Hellinger", "Wasserstein1D", "Distillation",
    ),
    "quantile_rows": ("MultiQuantile", "WinklerScore", "WeightedIntervalScore"),
    "crps": ("GaussianCRPS", "LaplaceCRPS", "LogisticCRPS", "LogNormalCRPS", "EnsembleCRPS"),
    "distribution": (
        "GaussianNLL", "LaplaceNLL", "StudentTNLL", "LogisticNLL", "GumbelNLL", "LogNormalNLL", "GammaNLL", "WeibullNLL",
        "NegativeBinomialNLL", "ZeroInflatedPoissonNLL", "BetaNLL",
    ),
    "adversarial": ("GANMinimax", "GANNonSaturating", "LeastSquaresGAN", "HingeGAN", "WassersteinGAN"),
}

MODULE_OF = {name: f"{__name__}.{family}" for family, names in FAMILIES.items() for name in names}
