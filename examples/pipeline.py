"""A training pipeline that records what it does in a ledger: the machine learning, and the lines that emit.

The data are real: 442 patients with diabetes, ten measurements each, and how far the disease had progressed
a year later (Efron, Hastie, Johnstone and Tibshirani, "Least Angle Regression", 2004), as they ship with
scikit-learn. The model says whose disease will progress further than half of all patients' does.

The fault is one of units. A laboratory system is updated and exports cholesterol (s1, s2, s3) and glucose (s6) in
mmol/L instead of mg/dL, for all rows, old ones too; the ratio s4 has no unit, and s5 is a logarithm that somebody else
computes. A model trained on that export is as good as before on a hold-out drawn from the same export. The clinics go
on measuring in mg/dL, and on their patients it finds nobody. Over 200 random splits of the data the balanced accuracy
is 0.73, 0.74 and 0.74 (run 1 on its hold-out, run 1 live, run 2 on its hold-out), and 0.50 for run 2 live.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import muniment

MODEL: Final = "model:diabetes-progression"
DATASET: Final = "dataset:clinic-patients"
DEPLOYMENT: Final = "deployment:prod/progression-triage"
MONITOR: Final = "monitor:progression-triage"

SEED: Final = 1
METRIC: Final = "balanced_accuracy"
#: A version passes its evaluation from here on, and an alarm rings in production below it.
THRESHOLD: Final = 0.65
TARGET: Final = "progressed"
_MEDIAN_PROGRESSION: Final = 140
_CHOLESTEROL: Final = ("s1", "s2", "s3")
_GLUCOSE: Final = "s6"
_MG_DL_CHOLESTEROL: Final = 38.67  # mg/dL in one mmol/L
_MG_DL_GLUCOSE: Final = 18.02


@dataclass(frozen=True)
class Table:
    """Rows of patients: columns by name, the last one what is to be foretold."""

    columns: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def features(self) -> NDArray[np.float64]:
        """Measurements."""
        return self.values[:, :-1]

    @property
    def target(self) -> NDArray[np.int64]:
        """1 where the disease progressed further than it did for half of the patients."""
        return self.values[:, -1].astype(np.int64)

    @property
    def sex(self) -> NDArray[np.int64]:
        """The data set's own coding, 1 and 2; its source does not say which is which."""
        return self.values[:, self.columns.index("sex")].astype(np.int64)

    def rows(self, where: slice | NDArray[Any]) -> Table:
        """Some of the rows."""
        return Table(self.columns, self.values[where])


@dataclass(frozen=True)
class Snapshot:
    """A registered version of the data set."""

    subject: str
    path: Path
    digest: str
    receipt: muniment.Receipt


@dataclass(frozen=True)
class Scores:
    """How good a model is on some rows, and for each sex among them."""

    count: int
    metrics: dict[str, float]
    slices: list[dict[str, Any]]

    @property
    def value(self) -> float:
        """The metric decisions look at."""
        return self.metrics[METRIC]


@dataclass(frozen=True)
class Trained:
    """What a run made."""

    run: str
    data: Snapshot
    model: Any
    path: Path
    digest: str
    hold_out: Table
    scores: Scores


# -- data ----------------------------------------------------------------------------------------------------------


def load_patients() -> Table:
    """All patients in an order that a fixed seed shuffles, in the units they were measured in."""
    data = load_diabetes(scaled=False)
    progressed = (data.target > _MEDIAN_PROGRESSION).astype(np.float64)
    values = np.column_stack([data.data, progressed])
    shuffled = np.random.RandomState(SEED).permutation(len(values))
    return Table((*data.feature_names, TARGET), values[shuffled])


def in_mmol_per_litre(table: Table) -> Table:
    """The fault: the same blood, in the units that the updated laboratory system exports."""
    values = table.values.copy()
    for name in _CHOLESTEROL:
        column = table.columns.index(name)
        values[:, column] = (values[:, column] / _MG_DL_CHOLESTEROL).round(2)
    glucose = table.columns.index(_GLUCOSE)
    values[:, glucose] = (values[:, glucose] / _MG_DL_GLUCOSE).round(1)
    return Table(table.columns, values)


def write_csv(path: Path, table: Table) -> None:
    """Write a snapshot."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows([f"{value:g}" for value in row] for row in table.values.tolist())


def read_csv(path: Path) -> Table:
    """Read a snapshot: what is trained on is the file whose digest is registered."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return Table(tuple(header), np.array(rows, dtype=np.float64))


def profile(table: Table) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, least and greatest value of every column."""
    found = {}
    for name, column in zip(table.columns, table.values.T, strict=True):
        statistics = {"mean": column.mean(), "std": column.std(), "min": column.min(), "max": column.max()}
        found[name] = {key: round(float(value), 3) for key, value in statistics.items()}
    return found


# -- learning ------------------------------------------------------------------------------------------------------


def build_model(parameters: Mapping[str, Any]) -> Any:
    """A logistic regression on standardised measurements; ``clip`` first cuts them to their range in training."""
    guard = [MinMaxScaler(clip=True)] if parameters["clip"] else []
    return make_pipeline(*guard, StandardScaler(), LogisticRegression(C=parameters["C"]))


def _metrics(target: NDArray[np.int64], foretold: NDArray[np.int64], risk: NDArray[np.float64]) -> dict[str, float]:
    found = {
        METRIC: balanced_accuracy_score(target, foretold),
        "recall": recall_score(target, foretold, zero_division=0.0),
        "roc_auc": roc_auc_score(target, risk),
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def score(model: Any, table: Table) -> Scores:
    """Measure a model on labelled rows, all of them and by sex."""
    target, foretold, risk = table.target, model.predict(table.features), model.predict_proba(table.features)[:, 1]
    slices = []
    for sex in np.unique(table.sex).tolist():
        mine = table.sex == sex
        metrics = _metrics(target[mine], foretold[mine], risk[mine])
        slices.append({"slice": f"sex={sex}", "metrics": metrics, "count": int(mine.sum())})
    return Scores(len(target), _metrics(target, foretold, risk), slices)


def environment_digest(folder: Path) -> str:
    """Write down the installed packages with their versions, and return the digest of that list."""
    packages = sorted({f"{found.metadata['Name']}=={found.version}" for found in distributions()})
    path = folder / "environment.txt"
    path.write_text("\n".join(packages) + "\n", encoding="utf-8")
    return muniment.file_digest(path)


# -- the pipeline and what it emits --------------------------------------------------------------------------------


def log(receipt: muniment.Receipt, kind: str, subject: str) -> muniment.Receipt:
    """Print one line about an event that was recorded."""
    marks = f"   << {', '.join(receipt.marks)}" if receipt.marks else ""
    print(f"   #{receipt.index:<3} {kind:<30} {subject}{marks}")
    return receipt


def emit(ledger: muniment.Ledger, kind: str, subject: str, **fields: Any) -> muniment.Receipt:
    """Record an event and print a line about it."""
    return log(ledger.emit(kind, subject, **fields), kind, subject)


def register_data(ledger: muniment.Ledger, folder: Path, version: str, table: Table, description: str) -> Snapshot:
    """Write a snapshot of the data set and register it by its digest."""
    path = folder / f"clinic-patients-{version}.csv"
    write_csv(path, table)
    subject, digest = f"{DATASET}@{version}", muniment.file_digest(path)
    receipt = emit(
        ledger,
        "dataset.registered",
        subject,
        digest=digest,
        name="Patients of the diabetes clinics",
        uri=f"work/{path.name}",
        format="text/csv",
        row_count=len(table.values),
        columns=dict.fromkeys(table.columns, "number"),
        profile=profile(table),
        sensitivity="health data, without names",
        description=description,
    )
    return Snapshot(subject, path, digest, receipt)


def train(
    ledger: muniment.Ledger, folder: Path, version: str, data: Snapshot, *, owner: str, clip: bool = False
) -> Trained:
    """Train on a snapshot, measure on the part of it that was held out, keep the model; record start and end."""
    run, subject = f"run:progression-{version}", f"{MODEL}@{version}"
    parameters = {"model": "logistic-regression", "C": 1.0, "clip": clip, "hold_out": 0.3}
    emit(
        ledger,
        "run.started",
        run,
        job="train-progression",
        code={"repository": "https://git.muniment.example/progression", "digest": muniment.file_digest(__file__)},
        parameters=parameters,
        environment=environment_digest(folder),
        seed=SEED,
        inputs=[{"role": "input", "subject": data.subject, "digest": data.digest}],
        on_behalf_of=owner,
    )
    table = read_csv(data.path)
    kept, held_out = train_test_split(
        np.arange(len(table.values)), test_size=parameters["hold_out"], random_state=SEED, stratify=table.target
    )
    model = build_model(parameters)
    model.fit(table.rows(kept).features, table.rows(kept).target)
    hold_out = table.rows(held_out)
    scores = score(model, hold_out)
    path = folder / f"progression-{version}.joblib"
    joblib.dump(model, path)
    digest = muniment.file_digest(path)
    emit(
        ledger,
        "run.completed",
        run,
        metrics=scores.metrics,
        outputs=[{"role": "model", "subject": subject, "digest": digest}],
        on_behalf_of=owner,
    )
    return Trained(run, data, model, path, digest, hold_out, scores)


def register_version(
    ledger: muniment.Ledger, version: str, trained: Trained, *, owner: str, description: str
) -> muniment.Receipt:
    """Register what a run made as a version of the model."""
    return emit(
        ledger,
        "version.registered",
        f"{MODEL}@{version}",
        digest=trained.digest,
        owner=owner,
        tier="high",
        run=trained.run,
        uri=f"work/{trained.path.name}",
        format="application/x-joblib",
        description=description,
        on_behalf_of=owner,
    )


def evaluate(ledger: muniment.Ledger, version: str, trained: Trained) -> muniment.Receipt:
    """Load the model that was kept, measure it on its hold-out and record the verdict."""
    scores = score(joblib.load(trained.path), trained.hold_out)
    return emit(
        ledger,
        "evaluation.completed",
        f"{MODEL}@{version}",
        metrics=scores.metrics,
        slices=scores.slices,
        verdict="pass" if scores.value >= THRESHOLD else "fail",
        digest=trained.digest,
        suite="hold-out 30 %, stratified",
        dataset=trained.data.subject,
        dataset_digest=trained.data.digest,
    )


def watch(
    ledger: muniment.Ledger, folder: Path, version: str, model: Any, *, window: str, table: Table, baseline: float
) -> tuple[Scores, muniment.Receipt]:
    """Measure the live version on patients whose outcome has become known, and record what monitoring saw."""
    path = folder / f"live-{window}.csv"
    write_csv(path, table)
    scores = score(model, read_csv(path))
    receipt = emit(
        ledger,
        "monitor.signal",
        MONITOR,
        metric=METRIC,
        value=scores.value,
        baseline=baseline,
        threshold=THRESHOLD,
        severity="critical" if scores.value < THRESHOLD else "info",
        window=f"{window}, {scores.count} patients",
        deployment=DEPLOYMENT,
        model=f"{MODEL}@{version}",
        slices=scores.slices,
        refs=[
            {"role": "measured-on", "subject": f"dataset:clinic-live@{window}", "digest": muniment.file_digest(path)}
        ],
    )
    return scores, receipt
