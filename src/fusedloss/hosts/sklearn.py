"""`loss.sklearn_scorer()`: minus the mean loss as what `cross_val_score(scoring=)` and `GridSearchCV` call.

What an estimator answers becomes what the loss takes: class labels become 0, 1, ... by `estimator.classes_`, and
predictions in the target's units become raw scores by undoing the loss's link. scikit-learn is imported only where its
metadata routing asks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..domain import UNIT, Labels

__all__ = ["SklearnScorer"]

METHODS = ("predict", "predict_proba", "decision_function")


class SklearnScorer:
    """scorer(estimator, X, y, sample_weight=None) = -sum(w l)/sum(w) of the estimator's answers: greater is better.

    See `Loss.sklearn_scorer` for what the answers are and which losses have a scorer.
    """

    def __init__(self, loss, response_method=None):
        methods = _methods(loss)
        if not methods:
            raise ValueError(f"{loss.name} has no scorer: no scikit-learn estimator predicts the rows that it takes: "
                             "compute them and call the loss, -loss(y, rows, sample_weight)")
        if response_method is None:
            response_method = methods[0]
        elif response_method not in METHODS:
            raise ValueError(f"response_method must be one of {', '.join(map(repr, METHODS))} or None, "
                             f"found {response_method!r}")
        elif response_method not in methods:
            raise ValueError(f"response_method={response_method!r} does not give {loss.name} what it takes; "
                             f"possible: {', '.join(map(repr, methods))}")
        self.loss, self.response_method = loss, response_method
        self.__name__ = f"neg_{loss.name}"
        self._weight_request = None

    def __repr__(self):
        return f"{self.loss!r}.sklearn_scorer(response_method={self.response_method!r})"

    def __call__(self, estimator, X, y, sample_weight=None):
        """Minus the mean loss of a fitted estimator on X and y, a float.

        Raises
        ------
        AttributeError : the estimator lacks the response method.
        ValueError : its answer has not the shape that the loss needs, y has a label that it was not trained with, or a
            prediction has no raw score (a predicted mean of 0 under a log link).
        """
        respond = getattr(estimator, self.response_method, None)
        if respond is None:
            others = [name for name in _methods(self.loss) if hasattr(estimator, name)]
            remedy = f"pass response_method={others[0]!r}" if others else "choose another estimator or another loss"
            raise AttributeError(f"{type(estimator).__name__} has no {self.response_method}, which the scorer of "
                                 f"{self.loss.name} calls: {remedy}")
        answer = _array(respond(X), estimator, self.response_method)
        if self.response_method == "predict":
            if _is_binary(self.loss) and hasattr(estimator, "classes_"):
                raise ValueError(f"{type(estimator).__name__}.predict gives labels, and {self.loss.name} needs "
                                 "probabilities: pass response_method='predict_proba'")
            loss, raw = _from_predictions(self.loss, answer)
        elif _is_multilabel(self.loss):
            loss, raw = self._raw(answer)
        else:
            classes = _classes(estimator)
            y = _positions(y, classes, estimator)
            one_score = not self.loss.rowwise or self.loss.single_score
            loss, raw = (self._numbers if one_score else self._rows)(answer, classes, estimator)
        return -float(loss(y, raw, sample_weight))

    def _numbers(self, answer, classes, estimator):
        """(loss, one raw score for each sample); of two classes the second is the positive one."""
        if not self.loss.rowwise and len(classes) != 2:
            raise ValueError(f"{type(estimator).__name__} was trained with {len(classes)} classes; {self.loss.name} needs "
                             "2: use a loss of rows such as CategoricalCrossEntropy")
        if self.response_method == "predict_proba":
            return _from_predictions(self.loss, answer[:, 1], answer[:, 0])
        return self.loss, answer

    def _rows(self, answer, classes, estimator):
        """(loss, a row of raw scores for each sample)."""
        if answer.ndim != 2 or self.loss.n_classes(answer.shape[1]) != len(classes):
            remedy = "use a binary loss" if answer.ndim == 1 else "one score per class, not per pair of classes"
            raise ValueError(f"{type(estimator).__name__}.{self.response_method} has shape {answer.shape} for "
                             f"{len(classes)} classes; {self.loss.name} needs a row of scores for each sample: {remedy}")
        return self._raw(answer)

    def _raw(self, answer):
        return _from_predictions(self.loss, answer) if self.response_method == "predict_proba" else (self.loss, answer)

    # ---- scikit-learn's metadata routing -------------------------------------------------------------------------

    def _accept_sample_weight(self):
        """Searches hand their `sample_weight` to scorers that say so."""
        return True

    def set_score_request(self, *, sample_weight):
        """Whether weights that are routed here are wanted: True, False, None (an error) or another name for them.

        As of scikit-learn's own scorers; it counts where `sklearn.set_config(enable_metadata_routing=True)`.
        """
        self._weight_request = sample_weight
        return self

    def get_metadata_routing(self):
        """What scikit-learn asks when metadata routing is enabled."""
        from sklearn.utils.metadata_routing import MetadataRequest

        request = MetadataRequest(owner=repr(self))
        request.score.add_request(param="sample_weight", alias=self._weight_request)
        return request


# ---- what a loss takes -------------------------------------------------------------------------------------------


def _methods(loss):
    """The response methods that give what this loss takes, the default first; none where no estimator does."""
    if loss.rowwise:
        return _methods_of_rows(loss)
    if not _is_binary(loss):
        return ("predict",)
    if loss.pred_domain.low == 0.0:
        return ("predict_proba", "predict")
    return ("predict_proba", "decision_function", "predict") if loss.link in _RAW_SCORE else ("decision_function",)


def _methods_of_rows(loss):
    if loss.target in ("label", "classes"):
        if loss.pred_domain.low == 0.0:
            return ("predict_proba",)
        undone = loss.link == "softmax" and not hasattr(loss, "prediction")
        return ("predict_proba", "decision_function") if undone or _of_predictions(loss) else ("decision_function",)
    if _is_multilabel(loss):
        return ("predict_proba", "decision_function") if loss.link == "logit" else ("decision_function",)
    logarithms = any(name.startswith(("log_", "logit_")) for name in loss.columns)
    return ("predict",) if loss.link == "identity" and not logarithms else ()


def _is_binary(loss):
    """Whether targets are 0 or 1, or between them."""
    return isinstance(loss.y_domain, Labels) or loss.y_domain == UNIT


def _is_multilabel(loss):
    """Whether the target is a row of labels."""
    return loss.rowwise and loss.target == "row" and loss.link in ("logit", "identity") and _is_binary(loss)


def _of_predictions(loss):
    """The loss that takes predictions in the target's units and is otherwise this one; None where there is none."""
    if loss.pred_domain.low == 0.0:
        return loss
    for field in ("from_logits", "non_crossing"):
        if getattr(loss, field, False):
            try:
                return replace(loss, **{field: False})
            except ValueError:  # another parameter has a meaning on logits only, such as a temperature
                return None
    return None


def _from_predictions(loss, prediction, complement=None):
    """(loss, raw scores) that stand for predictions in the target's units; `complement` is 1 - prediction with all its
    digits, where it is known."""
    if (same := _of_predictions(loss)) is not None:
        return same, prediction
    if loss.link in _RAW_SCORE:
        return loss, _RAW_SCORE[loss.link](prediction, 1.0 - prediction if complement is None else complement)
    if loss.link == "identity":
        return loss, prediction
    if loss.link == "log" and (wrong := np.argwhere(~(prediction > 0.0))).size:
        at = tuple(map(int, wrong[0]))
        raise ValueError(f"the prediction at {list(at)} is {prediction[at].item()!r}: {loss.name} has a log link and needs "
                         "means above 0")
    with np.errstate(divide="ignore"):
        return loss, np.log(prediction)


# ---- what an estimator answers -----------------------------------------------------------------------------------


def _array(answer, estimator, method):
    if isinstance(answer, list):
        raise ValueError(f"{type(estimator).__name__}.{method} gives a list, an array for each output; a row of "
                         "probabilities for each sample is needed: wrap a binary estimator in OneVsRestClassifier")
    return np.asarray(answer)


def _classes(estimator):
    classes = getattr(estimator, "classes_", None)
    if classes is None or isinstance(classes, list):
        raise ValueError(f"{type(estimator).__name__} has no array classes_: a fitted classifier of one target is needed")
    return np.asarray(classes)


def _positions(y, classes, estimator):
    """Labels as positions in `classes`, int64."""
    y = np.asarray(y)
    if y.ndim != 1:
        raise ValueError(f"y has shape {y.shape}; class labels must have shape (n,)")
    order = np.argsort(classes, kind="stable")
    places = order[np.minimum(np.searchsorted(classes, y, sorter=order), len(classes) - 1)]
    unknown = np.flatnonzero(classes[places] != y)
    if unknown.size:
        raise ValueError(f"y[{unknown[0]}] = {y[unknown[0]].item()!r}: {type(estimator).__name__} was trained without this "
                         f"label, its classes are {classes.tolist()}: use a stratified split")
    return places.astype(np.int64, copy=False)


# ---- links undone: p is the probability of the second class, q that of the first, each with all its digits ---------


def _logit(p, q):
    with np.errstate(divide="ignore"):
        return np.log(p) - np.log(q)


def _half_logit(p, q):
    return 0.5 * _logit(p, q)


def _probit(p, q):
    from scipy.special import ndtri

    return np.where(p < q, ndtri(p), -ndtri(q))


def _cloglog(p, q):
    with np.errstate(divide="ignore"):
        return np.log(np.where(p < q, -np.log1p(-p), -np.log(q)))


def _tangent(p, q):
    return np.tan(p - 0.5)


_RAW_SCORE = {"logit": _logit, "half_logit": _half_logit, "probit": _probit, "cloglog": _cloglog, "tangent": _tangent}
