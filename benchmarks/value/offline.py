"""Values that need no training of ours, beside cleanlab and pyDVL on the same numbers, in one run.

Each contender runs on one thread. Usage: offline.py BINARY FOLDER PYTHON_WITH_PYDVL; prints a table.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402

PYDVL = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
from pydvl.valuation.dataset import Dataset
kind, train, valid = sys.argv[1:4]
# As Arable holds them, in the precision that scikit-learn compares distances in.
read = lambda path: (lambda rows: (rows[:, :-1].astype("float32").astype(float), rows[:, -1].astype(int)))(np.loadtxt(path, delimiter=","))
(x, y), (u, v) = read(train), read(valid)
train, valid = Dataset(x, y), Dataset(u, v)
if kind == "knn":
    from sklearn.neighbors import KNeighborsClassifier
    from pydvl.valuation.methods.knn_shapley import KNNShapleyValuation
    def value():
        model = KNeighborsClassifier(n_neighbors=10)
        return KNNShapleyValuation(model=model, test_data=valid, progress=False).fit(train)
else:
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier
    from pydvl.valuation.methods.data_oob import DataOOBValuation
    def value():
        trees = BaggingClassifier(DecisionTreeClassifier(), n_estimators=1000, random_state=1).fit(x, y)
        return DataOOBValuation(trees).fit(train)
took = []
for _ in range(5 if kind == "knn" else 1):
    start = time.process_time()
    result = value().result
    took.append(time.process_time() - start)
order = np.argsort(np.asarray(result.indices))
print(json.dumps({"cpu": float(np.median(took)), "values": np.asarray(result.values)[order].tolist()}))
"""


def ours(binary, *words):
    out = subprocess.run([binary, *map(str, words)], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def cleanlab_case(rows=50_000, classes=10, seed=0):
    """Probabilities as a fair model gives them of labels of which 30 % are wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    labels = np.where(random.random(rows) < 0.3, random.integers(0, classes, rows), truth)
    logits = random.normal(0, 1.2, (rows, classes))
    logits[np.arange(rows), truth] += 3
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), labels


def confident(binary, folder):
    from cleanlab.filter import find_label_issues

    p, labels = cleanlab_case()
    path = folder / "confident.csv"
    with open(path, "w") as file:
        for row, label in zip(p, labels):
            file.write(",".join(map(repr, map(float, row))) + f",{label}\n")
    found = {line["filter"]: line for line in ours(binary, "confident-learning", path, 200)}
    for name, rule in [("prune_by_noise_rate",) * 2, ("confident_learning",) * 2]:
        took = []
        for _ in range(11):
            start = time.process_time()
            flags = find_label_issues(labels, p, filter_by=rule, n_jobs=1)
            took.append(time.process_time() - start)
        mine = found[name]
        same = set(np.flatnonzero(flags)) == set(mine["flagged"])
        peer = float(np.median(took))
        print(f"| cleanlab 2.9 `{name}`, 50,000 x 10 | {1e3 * peer:.1f} ms | {1e3 * mine['cpu']:.2f} ms | {peer / mine['cpu']:.1f}x | {len(mine['flagged'])} flags, {'identical' if same else 'DIFFERENT'} |", flush=True)


def digits(folder):
    rows = np.loadtxt(folder / "digits.csv", delimiter=",")
    random = np.random.default_rng(0)
    rows = rows[random.permutation(len(rows))]
    wrong = random.choice(1000, 200, replace=False)
    rows[wrong, -1] = (rows[wrong, -1] + random.integers(1, 10, 200)) % 10
    train, valid = folder / "digits-train.csv", folder / "digits-valid.csv"
    np.savetxt(train, rows[:1000], fmt="%.7g", delimiter=",")
    np.savetxt(valid, rows[1000:1100], fmt="%.7g", delimiter=",")
    return train, valid, np.isin(np.arange(1000), wrong)


def auroc(score, wrong):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(wrong, score)


def pydvl(binary, folder, python):
    train, valid, wrong = digits(folder)
    for kind, name in [("knn", "KNN-Shapley, 1000 x 100, k = 10"), ("oob", "Data-OOB, 1000 trees, 1000 digits")]:
        peer = subprocess.run([python, "-c", PYDVL, kind, train, valid], check=True, capture_output=True, text=True)
        peer = json.loads(peer.stdout.splitlines()[-1])
        words = ("knn-shapley", train, valid, 10, 50) if kind == "knn" else ("data-oob", train, 1000, 1)
        mine = ours(binary, *words)[0]
        a, b = np.array(mine["values"]), np.array(peer["values"])
        what = f"largest difference {np.abs(a - b).max():.1e}; AUROC {auroc(-a, wrong):.4f} and {auroc(-b, wrong):.4f}"
        print(f"| pyDVL 0.10 {name} | {1e3 * peer['cpu']:.0f} ms | {1e3 * mine['cpu']:.1f} ms | {peer['cpu'] / mine['cpu']:.1f}x | {what} |", flush=True)


if __name__ == "__main__":
    binary, folder, python = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    print("| what | peer, CPU | Arable, CPU | ratio | the same? |\n|---|---|---|---|---|")
    confident(binary, folder)
    pydvl(binary, folder, python)
