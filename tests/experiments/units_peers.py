#!/usr/bin/env python3
"""Units a second of a trivial program: Baton's local cloud beside GNU parallel and Lithops' localhost map.

    python3 tests/experiments/units_peers.py [--units 100000] [--few 2000] [--calls 200] [--rounds 3]

All run on this machine, two at a time, in turn. It needs built binaries (cargo build --release), GNU parallel in
the PATH, and Lithops in this Python. What is missing is named and left out. Printed are the median of wall seconds,
of CPU seconds with those of all children, and units a second; every result is checked.
"""
import argparse, json, os, pathlib, resource, shutil, statistics, subprocess, sys, tempfile, time

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = '#!/usr/bin/awk -f\n{ printf "%.0f\\n", $0 * $0 }\n'


def baton(folder, units):
    run = f"run-{time.monotonic_ns()}"
    subprocess.run([TOP / "target/release/baton", "local", "--root", folder / "efs", "--job", folder / "job.json",
                    "--run", run, "--workers", "2", "--concurrency", "2", "--json"], check=True, stdout=subprocess.DEVNULL)
    model = folder / "efs/runs" / run / "model"
    lines = [json.loads(line) for file in sorted(model.glob("results-*.jsonl")) for line in open(file)]
    return [line["result"] for line in lines]


def parallel(folder, units, *options):
    with open(folder / "numbers.jsonl") as numbers:
        command = ["parallel", "--will-cite", "-j2", "-k", *options]
        out = subprocess.run(command, stdin=numbers, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [int(line) for line in out.split()]


def in_batches(folder, units):
    return parallel(folder, units, "--pipe", "-N1024", str(folder / "efs/programs/square/run"))


def one_by_one(folder, units):
    return parallel(folder, units, f"echo {{}} | {folder / 'efs/programs/square/run'}")


def square(number):
    return number * number


def lithops(folder, units):
    import lithops as library
    config = {"lithops": {"backend": "localhost", "storage": "localhost", "log_level": "ERROR"},
              "localhost": {"worker_processes": 2}}
    executor = library.FunctionExecutor(config=config)
    executor.map(square, range(units))
    return executor.get_result()


def measured(way, folder, units):
    children, own = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    begun = time.monotonic()
    results = way(folder, units)
    wall = time.monotonic() - begun
    cpu = sum(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime for after, before in
              ((resource.getrusage(resource.RUSAGE_CHILDREN), children), (resource.getrusage(resource.RUSAGE_SELF), own)))
    assert [int(result) for result in results] == [n * n for n in range(units)], way.__name__
    return wall, cpu


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--units", type=int, default=100_000)
    options.add_argument("--few", type=int, default=2_000, help="units for a process each")
    options.add_argument("--calls", type=int, default=200, help="units for a call of Lithops each")
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    ways = [(baton, asked.units)]
    if shutil.which("parallel"):
        ways += [(in_batches, asked.units), (one_by_one, asked.few)]
    else:
        print("SKIPPED: GNU parallel is not installed")
    try:
        import lithops as _
        ways.append((lithops, asked.calls))
    except ImportError:
        print("SKIPPED: this Python has no Lithops")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "efs/programs/square").mkdir(parents=True)
        (folder / "efs/programs/square/run").write_text(PROGRAM)
        (folder / "efs/programs/square/run").chmod(0o755)
        (folder / "job.json").write_text('{"kind": "program", "program": "square", "dataset": "numbers"}')
        for number in range(asked.rounds):
            for way, units in ways:
                numbers = "".join(f"{n}\n" for n in range(units))
                (folder / "numbers.jsonl").write_text(numbers)
                if way is baton and number == 0:
                    subprocess.run([TOP / "target/release/data-prep", "units", folder / "numbers.jsonl", "--out",
                                    folder / "efs/datasets/numbers"], check=True, stdout=subprocess.DEVNULL)
                found.setdefault(way.__name__, []).append((units, *measured(way, folder, units)))
                print(way.__name__, found[way.__name__][-1], file=sys.stderr)
    for name, rows in found.items():
        units, wall, cpu = rows[0][0], *(statistics.median(column) for column in list(zip(*rows))[1:])
        print(f"{name:12} {units:7} units  {wall:7.2f} s  {cpu:7.2f} CPU s  {units / wall:9.0f} units/s  "
              f"{1e6 * cpu / units:8.1f} CPU µs a unit")


if __name__ == "__main__":
    main()
