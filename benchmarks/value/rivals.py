"""What the rival's part in the suspicion was chosen by: the perceptron of `study.py`, on data sets that are not reported.

Usage: rivals.py PASSES ROWS SEEDS NAME…, with names of KEEL's data sets. Prints, for 20 % wrong labels in pairs and
symmetric, which way to keep a row's rival over the passes names the true class of wrong labels, and the AUROC and
precision at the true rate of suspicions with different shares of what the rows of the same label and rival are worse than
those of the label; means over the data sets and the seeds.
"""

import sys

import study  # noqa: F401  One thread, before numpy comes.

import numpy as np  # noqa: E402
from prepare import load  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402


def votes(rivals, dissent, most=255):
    """The rival that is kept of each row where a vote for another counts `dissent` against it."""
    kept, ahead = rivals[0].copy(), np.ones(rivals.shape[1], int)
    for of_pass in rivals[1:]:
        same = of_pass == kept
        ahead = np.where(same, np.minimum(ahead + 1, most), ahead - dissent)
        kept, ahead = np.where(ahead < 0, of_pass, kept), np.where(ahead < 0, 1, ahead)
    return kept


KEPT = {
    "the last": lambda rivals: rivals[-1],
    "the majority": lambda rivals: votes(rivals, 1),
    "two thirds": lambda rivals: votes(rivals, 2),
    "two thirds, at most 4 votes": lambda rivals: votes(rivals, 2, 4),
}


FORMS = [(shares, 10) for shares in ((0, 0), (0.75, 0), (1, 0), (1.5, 0), (0.75, 0.25), (1, 0.5), (1, 0.75), (1.5, 0.5))]
FORMS += [((1, other), rows) for other in (0, 0.5) for rows in (0, 5, 20, 40)]


def suspicion(found, y, rival, classes, shares, rows):
    """`suspicions` of the loader, with other shares of the kind (where noise is systematic, and where not) and rows."""
    doubted = found[:, 1] < 0
    kappa = found[doubted, 3].sum() / max(classes - 2, 1) / max(found[doubted, 2].sum(), 1e-9)
    systematic = doubted.any() and kappa < 0.25
    if not doubted.any():
        s = found[:, 0]
    else:
        s = -found[:, 1] if systematic else -found[:, 4]
    sums, counts = np.zeros((classes, classes)), np.zeros((classes, classes))
    np.add.at(sums, (y, rival), s)
    np.add.at(counts, (y, rival), 1)
    of_class = sums.sum(1) / np.maximum(counts.sum(1), 1)
    worse = (sums - counts * of_class[:, None]) / np.maximum(counts + rows, 1)
    return s - of_class[y] / 4 + shares[not systematic] * worse[y, rival]


def main(passes, most, seeds, names):
    for kind in ("pair", "symmetric"):
        named, judged = {}, {}
        for name in names:
            features, truth = load(name)
            features = ((features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)).astype("f4")
            classes = truth.max() + 1
            for seed in range(1, seeds + 1):
                random = np.random.default_rng(seed * 100 + 7)
                rows = random.permutation(len(truth))[:most]
                wrong = np.zeros(len(rows), bool)
                wrong[random.permutation(len(rows))[: int(0.2 * len(rows))]] = True
                step = 1 if kind == "pair" else random.integers(1, classes, len(rows))
                y = np.where(wrong, (truth[rows] + step) % classes, truth[rows])
                found, rivals = study.train(features[rows], y, classes, passes, seed)
                for way, keep in KEPT.items():
                    named.setdefault(way, []).append((keep(rivals) == truth[rows])[wrong].mean())
                rival = votes(rivals, 2)
                for shares, k in FORMS:
                    score = suspicion(found, y, rival, classes, shares, k)
                    worst = np.argsort(-score, kind="stable")[: wrong.sum()]
                    judged.setdefault((shares, k), []).append((roc_auc_score(wrong, score), wrong[worst].mean()))
        print(f"\n{kind}, {passes} passes\n\n| rival kept | names the true class of |\n|---|---|")
        for way, found in named.items():
            print(f"| {way} | {np.mean(found):.4f} |")
        print("\n| shares of the kind | rows | AUROC | precision |\n|---|---|---|---|")
        for (shares, k), found in judged.items():
            area, precision = np.mean(found, 0)
            print(f"| {shares[0]}, {shares[1]} | {k} | {area:.4f} | {precision:.4f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
