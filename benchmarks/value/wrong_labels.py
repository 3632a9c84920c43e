"""Tables of how well wrong labels are found, from the lines that `value-benchmark` wrote of each data set and seed."""

from statistics import mean, stdev

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import roc_auc_score

MANY, TWO = ["digits", "letter", "satimage"], ["magic", "phoneme", "spambase"]
PLANTED = [
    ("symmetric, many classes", [f"{name}-symmetric" for name in MANY]),
    ("symmetric, two classes", [f"{name}-symmetric" for name in TWO]),
    ("pair, many classes", [f"{name}-pair" for name in MANY]),
]


def judged(path):
    rows = np.loadtxt(path, delimiter=",")
    wrong, labels = rows[:, 0].astype(bool), rows[:, 1].astype(int)
    p = rows[:, 9:] / rows[:, 9:].sum(1, keepdims=True)
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


def suggested(path):
    """The share of wrong labels of which the true one is suggested; and of the most suspicious, as many as are wrong, the
    share that is wrong and would be right as suggested."""
    rows = np.loadtxt(path, delimiter=",")
    wrong, right = rows[:, 0].astype(bool), rows[:, 8].astype(bool)
    worst = np.argsort(-rows[:, 7], kind="stable")[: wrong.sum()]
    return right[wrong].mean(), right[worst].mean()


def tables(folder, seeds, groups):
    """One table for each group of files: AUROC / precision at the true rate, means ± standard deviations over seeds."""
    spread = lambda values: f"{mean(values):.4f} ± {stdev(values) if len(values) > 1 else 0:.4f}"
    cell = lambda found: " / ".join(spread([pair[at] for pair in found]) for at in range(2))
    for title, files in groups:
        by_file = {file: [judged(folder / f"{file}-{seed}.csv") for seed in range(1, seeds + 1)] for file in files}
        print(f"\n{title}: AUROC / precision at the true rate, mean ± standard deviation over seeds 1 to {seeds}\n")
        print("| value | " + " | ".join(files) + " | mean of the sets |\n|---" + "|---" * (len(files) + 1) + "|")
        for value in by_file[files[0]][0]:
            cells = [cell([found[value] for found in by_file[file]]) for file in files]
            over = [tuple(mean(by_file[file][seed][value][at] for file in files) for at in range(2)) for seed in range(seeds)]
            print(f"| {value} | " + " | ".join([*cells, cell(over)]) + " |", flush=True)
        found = {file: [suggested(folder / f"{file}-{seed}.csv") for seed in range(1, seeds + 1)] for file in files}
        over = [tuple(mean(found[file][seed][at] for file in files) for at in range(2)) for seed in range(seeds)]
        cells = [cell(found[file]) for file in files] + [cell(over)]
        print(f"| suggested label right, of wrong ones / of the most suspicious | {' | '.join(cells)} |", flush=True)
