"""A browser, and local clouds whose table the tests fill."""

import json
import os
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from webdriver import Browser

REPOSITORY = Path(__file__).parents[3]
BINARIES = Path(os.environ.get("BATON_BINARIES", REPOSITORY / "target" / "release"))
START = 1_795_000_000_000
MEASURES = [{"name": name, "higher": name != "loss", "share": name != "loss"} for name in ("top-1", "loss", "top-5")]
COURSE = {"title": "vgg19 on cifar10", "before": ["features"], "round": ["train"], "rounds": 20, "called": "round",
          "unit": "images", "measures": MEASURES, "best": "measured", "score_every": 1}


def pytest_configure(config):
    config.addinivalue_line("markers", "complains: the page's console is to hold errors")


class Table:
    """`baton local` on a folder, `baton status` that shows it, and its table, written as docs/progress.md describes it."""

    def __init__(self, root):
        self.root, self.listen = root, "127.0.0.1:0"
        self.begin()
        self.status = subprocess.Popen([BINARIES / "baton", "status", "--root", root], stdout=subprocess.PIPE, text=True)
        self.url = self.status.stdout.readline().split()[0]

    def begin(self):
        command = [BINARIES / "baton", "local", "--root", self.root, "--listen", self.listen]
        self.cloud = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.cloud.stdout.readline()  # then it listens, and has written its address
        address = json.loads((Path(self.root) / "local-cloud.json").read_text())
        endpoint = address["endpoint"]
        self.listen = endpoint.removeprefix("http://")
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1",
               "aws_session_token": address["token"]}
        self.table = boto3.client("dynamodb", endpoint_url=endpoint, **key)

    def kill(self):
        """The cloud is gone as in a power cut: its address stays behind."""
        self.cloud.kill()
        self.cloud.wait()

    def put(self, pk, sk, **fields):
        def attribute(value):
            if isinstance(value, bool):
                return {"BOOL": value}
            return {"S": value} if isinstance(value, str) else {"N": str(value)}
        item = {"pk": pk, "sk": sk, "at_ms": START, **fields}
        self.table.put_item(TableName="baton", Item={key: attribute(value) for key, value in item.items()})

    def put_run(self, run, course=(), **fields):
        course = {**COURSE, **dict(course)}
        item = {"status": "running", "ended": False, "title": course["title"], "stage": 1, "course": json.dumps(course),
                "workers": 4, "workers_done": 0, "started_ms": START, "sent": 10, "begun": 9, "gb_seconds": 120.5,
                "dollars": 0.25, "dollars_limit": 5, "sent_limit": 20_000, "hours_limit": 24, **fields}
        self.put(run, "run", **item)
        self.put("#runs", run, **item)

    def put_stage(self, run, stage, workers, seconds=60, **fields):
        """A stage in which every worker did one leg; they end one after the other."""
        began = START + stage * (seconds + 1) * 1_000
        bars = "|".join(f"{worker % 7}+{seconds * 100 - 300 - worker}" for worker in range(workers))
        score = {"values": [1 - 0.7 / (stage + 1), 1.5 / (stage + 1), 0.99], "of": 5_000}
        item = {"began_ms": began, "ended_ms": began + seconds * 1_000, "resent": 0, "share": 1,
                "bars": f"{bars}/{seconds * 100 - 250}+240", **({"score": json.dumps(score)} if stage else {})}
        self.put(run, f"stage#{stage:06}", **{**item, **fields})

    def close(self):
        for process in (self.status, self.cloud):
            process.terminate()
            process.wait()


@pytest.fixture
def table(tmp_path):
    table = Table(tmp_path / "efs")
    yield table
    table.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def quiet(request):
    """After each test of a page: the console holds no error, so nothing broke the page's policy."""
    yield
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        allowed = request.node.get_closest_marker("complains")
        found = [line for line in browser.complaints() if "the server responded with a status" not in line and "ERR_CONNECTION_REFUSED" not in line]
        assert allowed or not found, found
        browser.open("about:blank")


@pytest.fixture
def picture(browser):
    """Saves a picture of the page, if one was requested."""
    def take(name, whole=True):
        if folder := os.environ.get("BATON_SCREENSHOTS"):
            browser.screenshot(Path(folder) / f"{name}.png", whole)
    return take
