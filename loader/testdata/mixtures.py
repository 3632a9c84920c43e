"""Golden traces of mixtures, computed with the standard library alone: python3 mixtures.py > mixtures.json"""
import json, math, random, struct

random.seed(20)
f32 = lambda x: struct.unpack("f", struct.pack("f", x))[0]
K, ROWS, STEPS = 3, 4, 30
references = [[f32(random.uniform(0.2, 1.5)) for _ in range(ROWS)] for _ in range(K)]
losses = []
for t in range(STEPS):
    batch = []
    for d in range(K):
        rows = ROWS if (t + d) % 4 else 0
        batch.append([f32(random.uniform(0.1, 3.0) / (1 + 0.05 * t * d)) for _ in range(rows)])
    losses.append(batch)

odm, R = [], [None] * K
for t, batch in enumerate(losses, 1):
    for d, rows in enumerate(batch):
        if rows:
            reward = math.exp(min(sum(rows) / len(rows), 20))
            R[d] = reward if R[d] is None else 0.9 * R[d] + 0.1 * reward
    known = [r or 0.0 for r in R]
    if t <= 5:
        odm.append([1 / K] * K)
        continue
    eps = min(1 / K, math.sqrt(math.log(K) / (K * t)))
    odm.append([(1 - K * eps) * r / sum(known) + eps for r in known])

doremi, w, lam, c, eta = [], [1 / K] * K, [0.0] * K, 1e-3, 1.0
for batch in losses:
    for d, rows in enumerate(batch):
        if rows:
            lam[d] = sum(max(l - references[d][i], 0) for i, l in enumerate(rows)) / len(rows)
    w = [wd * math.exp(eta * l) for wd, l in zip(w, lam)]
    s = sum(w)
    w = [(1 - c) * wd / s + c / K for wd in w]
    doremi.append(list(w))
print(json.dumps({"losses": losses, "references": references, "odm": odm, "doremi": doremi}))
