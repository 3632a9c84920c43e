"""The table of how well wrong labels are found, from the lines that `value-benchmark wrong-labels` wrote."""

import sys
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import roc_auc_score

GROUPS = [("symmetric", ["digits", "letter", "satimage"]), ("symmetric", ["magic", "phoneme", "spambase"]), ("pair", ["digits", "letter", "satimage"])]


def judged(path):
    rows = np.loadtxt(path, delimiter=",")
    wrong, labels = rows[:, 0].astype(bool), rows[:, 1].astype(int)
    p = rows[:, 8:] / rows[:, 8:].sum(1, keepdims=True)
    scores = {
        "**one value of the run**": rows[:, 7],
        "mean loss": rows[:, 2],
        "logit margin (AUM)": -rows[:, 3],
        "probability margin": -rows[:, 4],
        "cleanlab self-confidence, 5-fold": -get_label_quality_scores(labels, p, method="self_confidence"),
        "cleanlab normalised margin, 5-fold": -get_label_quality_scores(labels, p, method="normalized_margin"),
    }
    worst = lambda score: np.argsort(-score, kind="stable")[: wrong.sum()]
    return {name: (roc_auc_score(wrong, score), wrong[worst(score)].mean()) for name, score in scores.items()}


def main(folder, seeds):
    table = {}
    for kind, names in GROUPS:
        by_seed = [[judged(folder / f"{name}-{kind}-{seed}.csv") for name in names] for seed in range(1, seeds + 1)]
        for value in by_seed[0][0]:
            cell = []
            for at in range(2):
                means = [mean(found[value][at] for found in of_seed) for of_seed in by_seed]
                cell.append(f"{mean(means):.4f} ± {stdev(means) if len(means) > 1 else 0:.4f}")
            table.setdefault(value, []).append(" / ".join(cell))
    print(f"AUROC / precision at the true rate; mean over the sets, ± the standard deviation over seeds 1 to {seeds}\n")
    print("| value | symmetric, digits letter satimage | two classes, magic phoneme spambase | pair, digits letter satimage |\n|---|---|---|---|")
    for value, cells in table.items():
        print(f"| {value} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
