"""What the rules on label noise were chosen by: a perceptron of the same shape in numpy, on other data than those reported.

Usage: study.py PASSES ROWS NAME…, with names of KEEL's data sets. `rivals.py` asks further questions of the same trainings. For no noise, and 20 % symmetric, 20 % and 40 % pair
noise, prints the share of rows contradicted, κ (what a class that is neither label nor rival gets in those rows, as a
share of what the label gets), and the AUROC of the mean loss and of the probability margin.
"""

import os
import sys

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
from prepare import load  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402


def train(x, y, classes, passes, seed=1):
    """Means over the passes of loss, probability margin, p of the label, what neither label nor rival gets, and logit
    margin; and the strongest rival of each pass."""
    random = np.random.default_rng(seed)
    widths = [x.shape[1], 128, 128, classes]
    weights = [random.normal(0, np.sqrt(2 / a), (a, b)).astype("f4") for a, b in zip(widths, widths[1:])]
    all_parameters = weights + [np.zeros(b, "f4") for b in widths[1:]]
    first, second = [0 * p for p in all_parameters], [0 * p for p in all_parameters]
    sums, rivals, step = np.zeros((len(x), 5)), np.zeros((passes, len(x)), int), 0
    for turn in range(passes):
        order = random.permutation(len(x))
        for start in range(0, len(x), 64):
            rows = order[start : start + 64]
            hidden = [x[rows]]
            for at in range(2):
                hidden.append(np.maximum(hidden[-1] @ all_parameters[at] + all_parameters[3 + at], 0))
            z = hidden[-1] @ all_parameters[2] + all_parameters[5]
            p = np.exp(z - z.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            each = np.arange(len(rows)), y[rows]
            others = z.copy()
            others[each] = -np.inf
            rivals[turn, rows] = others.argmax(1)
            label, rival, margin = p[each], p[each[0], rivals[turn, rows]], z[each] - others.max(1)
            loss = -np.log(np.maximum(label, 1e-30))
            sums[rows] += np.column_stack([loss, label - rival, label, 1 - label - rival, margin])
            gradient = p
            gradient[each] -= 1
            gradient /= len(rows)
            gradients = [None] * 6
            for at in (2, 1, 0):
                gradients[at], gradients[3 + at] = hidden[at].T @ gradient, gradient.sum(0)
                if at:
                    gradient = (gradient @ all_parameters[at].T) * (hidden[at] > 0)
            step += 1
            rate = 1e-3 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for at, g in enumerate(gradients):
                first[at] = 0.9 * first[at] + 0.1 * g
                second[at] = 0.999 * second[at] + 0.001 * g * g
                all_parameters[at] -= (rate * first[at] / (np.sqrt(second[at]) + 1e-8)).astype("f4")
    return sums / passes, rivals


def main(passes, most, names):
    print("| set | noise | contradicted | κ | AUROC of loss | of margin |\n|---|---|---|---|---|---|")
    for name in names:
        features, truth = load(name)
        features = ((features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)).astype("f4")
        classes = truth.max() + 1
        for kind, share in [("none", 0.0), ("symmetric", 0.2), ("pair", 0.2), ("pair", 0.4)]:
            random = np.random.default_rng(7)
            rows = random.permutation(len(truth))[:most]
            wrong = np.zeros(len(rows), bool)
            wrong[random.permutation(len(rows))[: int(share * len(rows))]] = True
            step = 1 if kind == "pair" else random.integers(1, classes, len(rows))
            y = np.where(wrong, (truth[rows] + step) % classes, truth[rows])
            found, _ = train(features[rows], y, classes, passes)
            doubted = found[:, 1] < 0
            kappa = found[doubted, 3].sum() / max(classes - 2, 1) / max(found[doubted, 2].sum(), 1e-9)
            areas = ["–"] * 2 if kind == "none" else [f"{roc_auc_score(wrong, s):.4f}" for s in (found[:, 0], -found[:, 1])]
            print(f"| {name} | {share} {kind} | {doubted.mean():.3f} | {kappa:.3f} | {' | '.join(areas)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
