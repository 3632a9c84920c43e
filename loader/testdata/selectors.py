"""Picks of the selectors, what they remember, and targets of `weighted`, computed from the papers' formulas alone: writes selectors.json.

Needs numpy and blake3. Random numbers are Arable's (ChaCha with 8 rounds, keyed by BLAKE3), made here a second time.
"""

import itertools
import json
import struct
from pathlib import Path

import blake3
import numpy as np

SEED, EPOCH = 42, 3


class Randomness:
    def __init__(self, batch):
        place = struct.pack("<QIQ", SEED, EPOCH, batch) + b"selection"
        context = "arable 2026 randomness of (seed, epoch, place, purpose)"
        self.key = struct.unpack("<8I", blake3.blake3(place, derive_key_context=context).digest())
        self.words, self.block = [], 0

    def refill(self):
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *self.key, self.block & 0xFFFFFFFF, self.block >> 32, 0, 0]
        state = list(start)

        def quarter(a, b, c, d):
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                mixed = state[z] ^ state[x]
                state[z] = (mixed << turn | mixed >> (32 - turn)) & 0xFFFFFFFF

        for _ in range(4):
            for column in range(4):
                quarter(column, column + 4, column + 8, column + 12)
            for column in range(4):
                quarter(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
        self.words += [(a + b) & 0xFFFFFFFF for a, b in zip(start, state)]
        self.block += 1

    def unit(self):
        while len(self.words) < 2:
            self.refill()
        low, high = self.words.pop(0), self.words.pop(0)
        return ((high << 32 | low) >> 11) / 2.0**53

    def gumbel(self):
        return -np.log(-np.log(self.unit() + 2.0**-54))


def highest(scores, size):
    """The highest scores; of equal ones the earlier, and what is no number last."""
    order = sorted(range(len(scores)), key=lambda row: (np.isnan(scores[row]), -scores[row] if scores[row] == scores[row] else 0, row))
    return [[row, 1.0] for row in sorted(order[:size])]


def finite(values):
    return np.where(np.isfinite(values), values, np.nan)


def rho_loss(rows, size, _):
    return highest(finite(rows["loss"] - rows["reference_loss"]), size)


def rho_probability(rows, size, _):
    return highest(finite(rows["reference_probability"] - rows["probability"]), size)


def jest(rows, size, random):
    score = finite(rows["loss"] - rows["reference_loss"])
    known = score[~np.isnan(score)]
    scaled = 4.0 * (score - known.mean()) / known.std()
    return highest(scaled + [random.gumbel() for _ in score], size)


def selective_backprop(rows, size, random, ring=(), beta=2.0, most=1024):
    """By the share of the last losses that are at most a row's own: the candidates', and of those before as many as fit."""
    losses = rows["loss"]
    own = losses[np.isfinite(losses)]
    room = max(most - len(own), 0)
    last = np.concatenate([np.asarray(ring, float)[len(ring) - min(room, len(ring)) :], own])
    cdf = np.array([np.mean(last <= loss) if np.isfinite(loss) else np.nan for loss in losses])
    return highest(beta * np.log(cdf) + [random.gumbel() for _ in losses], size)


def progressive_dropout(rows, size, random):
    p = np.where(np.isfinite(rows["loss"]), rows["probability"], np.nan)
    if not (p < 0.3).any():
        return highest(-p, 1)
    order = [random.unit() for _ in p]
    return highest(np.where(p < 0.3, order, np.nan), min(size, int((p < 0.3).sum())))


def probabilities(rows):
    norm = np.where(np.isfinite(rows["el2n"]), rows["el2n"], 0)
    return 0.9 * norm / norm.sum() + 0.1 / len(norm)


def tau_of(g):
    """Equation 26 of the paper: (1 − ‖g − u‖²/‖g‖²)^(−1/2)."""
    u = 1 / len(g)
    return float((1 - ((g - u) ** 2).sum() / (g**2).sum()) ** -0.5)


def importance(rows, size, random, tau=None, threshold=None):
    g = probabilities(rows)
    count = len(g)
    if (tau_of(g) if tau is None else tau) <= (threshold or (count + 3 * size) / (3 * size)):
        return highest(np.array([random.unit() for _ in g]), size)
    picks = [int(np.searchsorted(np.cumsum(g), random.unit() * g.sum(), side="right")) for _ in range(size)]
    return [[row, 1 / (count * g[row])] for row in sorted(picks)]


def alignment(rows, size, _):
    score = np.where(np.isfinite(rows["loss"]), finite(rows["alignment"]), np.nan)
    return highest(score, min(size, max(1, int(np.sum(score > 0)))))


SELECTORS = [
    ("rho_loss", "", rho_loss), ("rho_loss", 'score = "probability"', rho_probability), ("jest", "", jest),
    ("selective_backprop", "beta = 2.0", selective_backprop), ("progressive_dropout", "", progressive_dropout),
    ("importance", "", importance), ("alignment", "", alignment),
]  # fmt: skip


def candidates(random, count, hard):
    """Losses and what goes with them; a few that are no numbers. Where few rows are `hard`, importance pays."""
    p = np.where(random.random(count) < hard, random.uniform(0.01, 0.5, count), random.uniform(0.99, 0.9999, count))
    rows = {
        "loss": -np.log(p), "probability": p, "el2n": np.sqrt(2) * (1 - p),
        "reference_loss": random.exponential(1, count), "alignment": random.normal(0, 1, count),
    }  # fmt: skip
    rows["reference_probability"] = np.exp(-rows["reference_loss"])
    if count > 8:
        rows["loss"][3], rows["loss"][5] = np.nan, np.inf
        rows["loss"][6] = rows["loss"][7]
    return {name: values.astype("f4").astype(float) for name, values in rows.items()}


def said(rows):
    return {name: [value if np.isfinite(value) else None for value in values] for name, values in rows.items()}


def remembering():
    """Runs of super-batches of which each sees what was reported of all before it: the ring of the last 60 losses, and
    τ̄ ← τ̄/2 + τ/2, of which the first is τ itself. Where τ̄ is not above the threshold only the rows picked are known."""
    random = np.random.default_rng(7)
    ring, smooth, runs = [], None, {"selective_backprop": [], "importance": []}
    for batch in range(11):
        count, size = (24, 8) if batch != 5 else (70, 10)
        # For importance gradients differ much in some super-batches and little in others.
        rows = candidates(random, count, 0.06 if batch % 5 < 2 else 0.9)
        run = {"batch": batch, "size": size, "candidates": said(rows)}
        picks = selective_backprop(rows, size, Randomness(batch), ring, 1.0, 60)
        runs["selective_backprop"].append({**run, "memory": list(ring), "statistic": None, "picks": picks})
        ring = (ring + [float(loss) for loss in rows["loss"] if np.isfinite(loss)])[-60:]
        tau = tau_of(probabilities(rows))
        picks = importance(rows, size, Randomness(batch), tau if smooth is None else smooth, 1.4)
        if smooth is not None and smooth <= 1.4:
            tau = tau_of(probabilities({name: values[[row for row, _ in picks]] for name, values in rows.items()}))
        memory = [] if smooth is None else [smooth]
        runs["importance"].append({**run, "memory": memory, "statistic": tau, "picks": picks})
        smooth = tau if smooth is None else 0.5 * smooth + 0.5 * tau
    options = {"selective_backprop": "beta = 1.0\nmemory = 60", "importance": "threshold = 1.4\nmemory = 0.5"}
    return [{"name": name, "options": options[name], "batches": batches} for name, batches in runs.items()]


def greats():
    """Greedy picks on whole gradients: each next row is the one whose gradient lies most along that of the trusted set as
    it is once the step on those before has been taken, ḡ − η·Σg."""
    random = np.random.default_rng(11)
    cases = []
    for rate, positive, size in [(0.3, True, 5), (0.3, False, 9), (None, True, 4), (None, False, 6), (0.0, True, 5)]:
        errors, inputs = random.normal(0, 1, (12, 3)), random.normal(0, 1, (12, 4))
        errors[7], inputs[7] = errors[2], inputs[2]
        own_errors, own_inputs = random.normal(0, 1, (5, 3)), random.normal(0, 1, (5, 4))
        errors, inputs, own_errors, own_inputs = (x.astype("f4").astype(float) for x in (errors, inputs, own_errors, own_inputs))
        whole = lambda e, h: np.einsum("ni,nj->nij", e, np.c_[h, np.ones(len(h))]).reshape(len(e), -1)  # noqa: E731
        g, trusted = whole(errors, inputs), whole(own_errors, own_inputs).mean(0)
        allowed = [row for row in range(12) if not positive or g[row] @ trusted > 0]
        most = min(size, len(allowed)) if positive else size
        step = rate
        if rate is None:
            # η·⟨Σg, ḡ⟩ − η²/2·‖Σg‖² in the mean over all sets of so many rows is highest here.
            sums = [g[list(rows)].sum(0) for rows in itertools.combinations(allowed, most)]
            step = max(np.sum([s @ trusted for s in sums]) / np.sum([s @ s for s in sums]), 0)
        picks, left = [], trusted.copy()
        for _ in range(most):
            best = max((row for row in allowed if row not in picks), key=lambda row: g[row] @ left)
            picks.append(best)
            left -= step * g[best]
        options = f'method = "greats"\npositive = {str(positive).lower()}' + ("" if rate is None else f"\nrate = {rate}")
        layers = [x.ravel().tolist() for x in (errors, inputs, own_errors, own_inputs)]
        cases.append({"options": options, "layers": layers, "size": size, "picks": sorted(picks)})
    return cases


def main():
    random = np.random.default_rng(5)
    cases = []
    for batch, (count, size, hard) in enumerate([(6, 2, 0.5), (40, 8, 0.1), (64, 16, 0.06), (64, 64, 0.5), (30, 3, 0.9)]):
        rows = candidates(random, count, hard)
        picks = [
            {"name": name, "options": options, "picks": pick(rows, size, Randomness(batch))} for name, options, pick in SELECTORS
        ]
        cases.append({"batch": batch, "size": size, "candidates": said(rows), "selectors": picks})
    numbers = [0.0, -1.0, 0.25, 3.0, 7.5, 1000.0, None]
    clipped = [0.0 if x is None else min(max(x / 2.5, 0.0), 4.0) for x in numbers]
    weighted = {"numbers": numbers, "options": "scale = 2.5\nmost = 4.0", "weights": clipped}
    whole = {"seed": SEED, "epoch": EPOCH, "cases": cases, "remembering": remembering(), "greats": greats(), "weighted": weighted}
    Path(__file__).with_suffix(".json").write_text(json.dumps(whole) + "\n")


if __name__ == "__main__":
    main()
