#!/usr/bin/env python3
"""CPU seconds and test error of matrix factorisation, from a file of ratings to a model: Baton beside others.

    python3 tests/experiments/ratings.py [--k 3 10] [--rounds 3] [--workers 1 3] [--file ratings.dat] [--gradient]

Without a file it generates 1,000,209 ratings of 3,900 items by 6,040 users: biases and k factors that are known, and noise of
deviation sigma = 0.8; counts differ about a thousandfold. So no model can have a test error below sigma. It needs built
binaries (cargo build --release), numpy and scipy in this Python; cmfrec (with pandas) is measured if it is there, and named if
not. Each program is its own process, in turn; printed are medians of user and system seconds with those of all children.
"""
import argparse, json, os, pathlib, resource, statistics, subprocess, sys, tempfile, time

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "target/release"
USERS, ITEMS, RATINGS, SIGMA = 6040, 3900, 1_000_209, 0.8


def generate(path, k):
    import numpy as np
    random = np.random.default_rng(7)
    users = np.exp(-np.arange(USERS) / 1300) + 0.01
    items = np.exp(-np.arange(ITEMS) / 600) + 0.002
    pairs = np.zeros(0, dtype=np.int64)
    while len(pairs) < RATINGS:
        more = random.choice(USERS, RATINGS, p=users / users.sum()) * ITEMS
        more += random.choice(ITEMS, RATINGS, p=items / items.sum())
        pairs = np.unique(np.concatenate([pairs, more]))
    pairs = random.permutation(pairs)[:RATINGS]
    u, i = pairs // ITEMS, pairs % ITEMS
    scale = 0.7 / k ** 0.25
    p, q = random.normal(0, scale, (USERS, k)), random.normal(0, scale, (ITEMS, k))
    truth = 3.5 + random.normal(0, 0.4, USERS)[u] + random.normal(0, 0.4, ITEMS)[i] + (p[u] * q[i]).sum(1)
    ratings = truth + random.normal(0, SIGMA, RATINGS)
    with open(path, "w") as file:
        file.writelines(f"{a + 1}::{b + 1}::{r:.4f}::{t}\n" for t, (a, b, r) in enumerate(zip(u, i, ratings)))


def split(folder):
    """The same split for all: the ids and ratings of Baton's data set, as three texts."""
    import numpy as np
    data = folder / "efs/datasets/films"
    users, items = ((data / f"{side}.txt").read_text().split("\n") for side in ("users", "items"))
    manifest = json.loads((data / "dataset.json").read_text())
    shards = manifest["by_user"]["shards"]
    load = lambda name: np.concatenate([np.load(data / shard[name]["name"]) for shard in shards])
    starts = np.load(data / "train-users-starts.npy")
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    splits = {"train": (owner, load("others"), load("values"))}
    for name in ("val", "test"):
        splits[name] = tuple(np.load(data / f"{name}-{what}.npy") for what in ("users", "items", "values"))
    for name, (u, i, r) in splits.items():
        with open(folder / f"{name}.csv", "w") as file:
            file.writelines(f"{users[a]},{items[b]},{c:.6g}\n" for a, b, c in zip(u, i, r))


def read(path):
    import numpy as np
    values = np.loadtxt(path, delimiter=",")
    return values[:, 0].astype(np.int64), values[:, 1].astype(np.int64), values[:, 2]


def rmse(prediction, truth):
    return float(((prediction - truth) ** 2).mean() ** 0.5)


def scipy_als(folder, k, sweeps, weight):
    """The same model and the same sweeps in one process: sums over ratings are products of a sparse matrix with a dense one."""
    import numpy as np
    from scipy.sparse import csr_matrix
    u, i, r = read(folder / "train.csv")
    begun = time.process_time()
    users, items = u.max() + 1, i.max() + 1
    mean = r.mean()
    ones = csr_matrix((np.ones(len(r)), (u, i)), shape=(users, items))
    rest = csr_matrix((r - mean, (u, i)), shape=(users, items))
    sides = [(m, n, np.diff(m.indptr)) for m, n in ((ones, rest), (ones.T.tocsr(), rest.T.tocsr()))]
    random = np.random.default_rng(0)
    tables = [None, np.hstack([np.zeros((items, 1)), random.uniform(-0.1, 0.1, (items, k))])]
    upper = np.triu_indices(k + 1)
    for _ in range(sweeps):
        for side, (m, n, counts) in enumerate(sides):
            x = tables[1 - side].copy()
            bias, x[:, 0] = x[:, 0].copy(), 1
            sums = m @ (x[:, upper[0]] * x[:, upper[1]])
            left = np.zeros((len(counts), k + 1, k + 1))
            left[:, upper[0], upper[1]] = sums
            left[:, upper[1], upper[0]] = sums
            left += (weight * np.maximum(counts, 1))[:, None, None] * np.eye(k + 1)
            right = n @ x - m @ (x * bias[:, None])
            tables[side] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
    seconds = time.process_time() - begun
    u, i, r = read(folder / "test.csv")
    u, i = np.minimum(u, users - 1), np.minimum(i, items - 1)
    p, q = tables[0][u], tables[1][i]
    return rmse(mean + p[:, 0] + q[:, 0] + (p[:, 1:] * q[:, 1:]).sum(1), r), seconds


def cmfrec(folder, k, sweeps, weight):
    import pandas
    from cmfrec import CMF
    names = ["UserId", "ItemId", "Rating"]
    train = pandas.read_csv(folder / "train.csv", names=names)
    test = pandas.read_csv(folder / "test.csv", names=names)
    model = CMF(k=k, lambda_=weight, scale_lam=True, method="als", use_cg=False, niter=sweeps, nthreads=1, verbose=False)
    begun = time.process_time()
    model.fit(train)
    return rmse(model.predict(test.UserId, test.ItemId), test.Rating.to_numpy()), time.process_time() - begun


def baton(folder, k, rounds, weight, workers, solve="als"):
    run = f"run-{time.monotonic_ns()}"
    out = folder / f"efs/datasets/{run}"
    subprocess.run([BIN / "data-prep", "ratings", folder / "ratings.dat", "--out", out], check=True, stdout=subprocess.DEVNULL)
    job = {"kind": "factors", "dataset": run, "factors": k, "rounds": rounds, "regularisation": weight, "solve": solve}
    if solve == "gradient":
        job["score_every"] = 10
    (folder / "job.json").write_text(json.dumps(job))
    subprocess.run([BIN / "baton", "local", "--root", folder / "efs", "--job", folder / "job.json", "--run", run,
                    "--workers", str(workers), "--concurrency", "2", "--json"], check=True, stdout=subprocess.DEVNULL)
    model = json.loads((folder / "efs/runs" / run / "model/factors.json").read_text())
    return model["test"]["rmse"], None


def measured(arguments):
    """The result of one program in a process of its own, and its seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, __file__, "--only", json.dumps(arguments)], stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (*json.loads(done.stdout), seconds) if done.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--k", type=int, nargs="+", default=[3, 10])
    parser.add_argument("--sweeps", type=int, default=10)
    parser.add_argument("--weight", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--file")
    parser.add_argument("--gradient", action="store_true")
    parser.add_argument("--only")
    asked = parser.parse_args()
    if asked.only:
        name, folder, *rest = json.loads(asked.only)
        print(json.dumps(globals()[name](pathlib.Path(folder), *rest)))
        return
    for k in asked.k:
        with tempfile.TemporaryDirectory() as folder:
            compare(pathlib.Path(folder), k, asked)


def compare(folder, k, asked):
    if asked.file:
        (folder / "ratings.dat").symlink_to(pathlib.Path(asked.file).resolve())
    else:
        generate(folder / "ratings.dat", k)
    (folder / "efs").mkdir()
    subprocess.run([BIN / "data-prep", "ratings", folder / "ratings.dat", "--out", folder / "efs/datasets/films"], check=True)
    split(folder)
    programs = {f"Baton, {n} workers": ("baton", str(folder), k, asked.sweeps, asked.weight, n) for n in asked.workers}
    if asked.gradient:
        programs |= {f"Baton, 100 steps, {n} workers": ("baton", str(folder), k, 100, asked.weight, n, "gradient") for n in asked.workers}
    programs["scipy"] = ("scipy_als", str(folder), k, asked.sweeps, asked.weight)
    programs["cmfrec"] = ("cmfrec", str(folder), k, asked.sweeps, asked.weight)
    found = {name: [measured(program) for _ in range(asked.rounds)] for name, program in programs.items()}
    print(f"\nk = {k}, {asked.sweeps} sweeps" + ("" if asked.file else f", sigma {SIGMA}"))
    for name, runs in found.items():
        runs = [run for run in runs if run]
        if not runs:
            print(f"{name:28} not there or failed")
            continue
        seconds = statistics.median(run[2] for run in runs)
        training = statistics.median(run[1] for run in runs) if runs[0][1] is not None else None
        of_it = f", of which training {training:.2f}" if training is not None else ""
        print(f"{name:28} test RMSE {runs[0][0]:.4f}   CPU s {seconds:.2f}{of_it}")


if __name__ == "__main__":
    main()
