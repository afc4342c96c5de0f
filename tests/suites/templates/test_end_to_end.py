"""The whole way in MiniStack, a cloud that we did not write: deploy, push, start, watch, pull, destroy, as a user would.

The function is the real binary from the real zip; the run ends in the same model bytes as under `baton local`; IAM is
enforced by MiniStack while it runs, and its trail is held against the template's policy.
"""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess

import boto3
import iam
import pytest
import standins
from render import FOLDER, Rendering, load

STACK = "baton"
# Resources that MiniStack 1.5.33 does not know as types of their own, or at all. It gets a template without them.
UNKNOWN = ["FunctionToFiles", "FilesFromFunction", "Budget"]
# It refuses plain HTTP, as it should, but MiniStack is called by plain HTTP here.
REFUSES_PLAIN = ["BucketPolicy"]
UNKNOWN_OF_NETWORK = ["Internet", "NatAddress", "NatGateway", "PrivateToNat"]


def without(template, names):
    """The template without some resources and without the mention of them in DependsOn."""
    for name in names:
        template, count = re.subn(rf"(?ms)^  {name}:\n.*?(?=^  \S|^\S)", "", template)
        assert count == 1, name
        template = re.sub(rf", {name}\b", "", template)
        template = re.sub(rf"    DependsOn: {name}\n", "", template)
    return template


class Cloud:
    """MiniStack with a deployed stack, the folder that is its EFS, and the folder of the user."""

    def __init__(self, url, folder, binaries):
        self.url, self.folder, self.binaries = url, folder, binaries
        self.efs, self.user, self.templates = (folder / name for name in ("efs", "user", "templates"))
        for made in (self.efs, self.templates):
            made.mkdir()
        network = without((FOLDER / "network.yaml").read_text(), UNKNOWN_OF_NETWORK)
        trainer = without((FOLDER / "trainer.yaml").read_text(), UNKNOWN + REFUSES_PLAIN)
        # MiniStack mounts nothing: the function gets the folder itself.
        told = trainer.replace("BATON_ROOT: /mnt/baton", f"BATON_ROOT: {self.efs}")
        # Its policies know a rule of the default bus as rule/default/NAME; the service's own ARN is rule/NAME.
        rule = "Resource: !Sub 'arn:aws:events:${AWS::Region}:${AWS::AccountId}:rule/default/${Watchdog}'"
        adapted = told.replace("Resource: !GetAtt Watchdog.Arn", rule)
        assert trainer != told != adapted
        (self.templates / "network.yaml").write_text(network)
        (self.templates / "trainer.yaml").write_text(adapted)

    def client(self, service):
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.url, **key)

    def baton(self, *arguments, wrong=False):
        command = [self.binaries / "baton", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=self.folder,
                              env=standins.environment(AWS_ENDPOINT_URL=self.url))
        assert (done.returncode != 0) == wrong, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def rule(self):
        [rule] = self.client("events").list_rules()["Rules"]
        return rule["State"]

    def tick(self):
        reply = self.client("lambda").invoke(FunctionName=STACK, Payload=b'{"tick":true}')
        assert "FunctionError" not in reply, reply["Payload"].read()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory, binaries):
    folder = tmp_path_factory.mktemp("cloud")
    more = {"LAMBDA_ASYNC_RETRY_BASE_SECONDS": "1", "AUTH": "true"}
    # The functions' calls go through a recorder.
    port = standins.free_port()
    with standins.ministack(folder, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", **more) as url:
        with iam.recording(port, url.removeprefix("http://")) as calls:
            cloud = Cloud(url, folder, binaries)
            cloud.calls = calls
            yield cloud


def model(root, run):
    return {path.name: path.read_bytes() for path in (root / "runs" / run / "model").iterdir()}


def test_a_run_from_deploy_to_destroy(cloud):
    # The same job under `baton local`: the model must have the same bytes.
    cloud.baton("demo", "--root", cloud.user, "--run", "demo", "--json")
    ledger = cloud.baton("start", "--root", cloud.user, "--run", "demo", "--print")
    assert json.loads(ledger)["run"] == "demo"
    job = cloud.folder / "job.json"
    job.write_text(json.dumps(demo_job()))

    dry = cloud.baton("deploy", "--dry-run", "--templates", cloud.templates)
    starts_on_lambda(cloud.binaries / "trainer", dry)
    assert "+ Vpc" in dry and "costs when nothing runs" in dry
    stacks = cloud.client("cloudformation").list_stacks()["StackSummaries"]
    assert all(stack["StackStatus"] == "DELETE_COMPLETE" for stack in stacks), "a dry run leaves nothing"

    said = cloud.baton("deploy", "--templates", cloud.templates)
    assert "+ FileSystem" in said and "+ Function" in said and '{"start": true' in said and "$14.60" in said
    again = cloud.baton("deploy", "--templates", cloud.templates)
    assert again.count("is as it should be") == 2, again
    assert cloud.rule() == "DISABLED"

    doctor = cloud.baton("doctor", wrong=True)
    # MiniStack does not read RecursiveLoop from a template, and does not cut chains either.
    assert re.search(r"WRONG  recursion", doctor) and doctor.count("WRONG") == 1, doctor
    assert re.search(r"ok     space +\d+\.\d GB free", doctor) and re.search(r"ok     memory +3008 MB", doctor), doctor
    for reached in ("file_system", "lambda", "watchdog", "table", "bucket"):
        assert re.search(rf"ok     {reached} +reached", doctor), doctor

    push = ("push", "--root", cloud.user, "--dataset", "patterns", "--weights", "baton_small", "--job", job)
    first = cloud.baton(*push)
    assert "uploaded" in first
    second = cloud.baton(*push)
    assert "uploaded" not in second and "0.0 MB new" in second
    pushed = (cloud.efs / "weights/baton_small/weights.safetensors").read_bytes()
    assert pushed == (cloud.user / "weights/baton_small/weights.safetensors").read_bytes()

    a_large_file_goes_in_parts(cloud)

    # Without a job in the event the pushed one is used.
    started = cloud.baton("start", "--run", "demo", "--workers", 3)
    assert '"sent"' in started and cloud.rule() == "ENABLED"
    watched = cloud.baton("watch", "--run", "demo")
    assert "ended" in watched or "finished" in watched or "round" in watched, watched

    logged = cloud.baton("logs", "--run", "demo").splitlines()
    assert len(logged) > 10 and all("demo" in line for line in logged), logged[:3]
    assert not cloud.baton("logs", "--run", "no-such-run")

    cloud.baton("pull", "--run", "demo", "--root", cloud.folder / "pulled")
    assert model(cloud.folder / "pulled", "demo") == model(cloud.user, "demo")
    cloud.tick()
    assert cloud.rule() == "DISABLED"
    allowed_and_used(cloud)

    shown = cloud.baton("destroy", "--templates", cloud.templates)
    assert "- FileSystem" in shown and "nothing was deleted" in shown
    cloud.baton("destroy", "--yes", "--templates", cloud.templates)
    assert "nothing to do" in cloud.baton("destroy")
    assert not cloud.client("s3").list_buckets()["Buckets"]
    assert not cloud.client("lambda").list_functions()["Functions"]
    assert not cloud.client("efs").describe_file_systems()["FileSystems"]


def test_in_a_lab_with_a_role_of_its_own_and_files_that_outlive_the_stack(cloud):
    roles = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = roles.create_role(RoleName="LabRole", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    before = {found["RoleName"] for found in roles.list_roles()["Roles"]}
    lab = ("--stack", "lab", "--templates", cloud.templates)
    said = cloud.baton("deploy", "--role", role, "--memory", 1024, *lab)
    assert "AWS::IAM::" not in said and {found["RoleName"] for found in roles.list_roles()["Roles"]} == before
    about = cloud.client("lambda").get_function_configuration(FunctionName="lab")
    assert (about["Role"], about["MemorySize"]) == (role, 1024)

    # Options that are not repeated keep their value: the role and the memory; the reserve is new.
    assert "~ Function" in cloud.baton("deploy", "--reserve", 2, *lab)
    about = cloud.client("lambda").get_function_configuration(FunctionName="lab")
    assert (about["Role"], about["MemorySize"]) == (role, 1024)

    cloud.baton("destroy", "--keep", "files", "--yes", *lab)
    assert "nothing to do" in cloud.baton("destroy", "--stack", "lab")
    kept = [files.get("Name") for files in cloud.client("efs").describe_file_systems()["FileSystems"]]
    assert kept.count("lab") == 1, kept
    buckets = [bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]]
    assert not any(name.startswith("lab-") for name in buckets), buckets


def a_large_file_goes_in_parts(cloud):
    """Parts of an earlier push are not sent again; the file on the file system is the right one."""
    program = cloud.user / "programs" / "big"
    program.mkdir(parents=True)
    (program / "run").write_text("#!/bin/sh\ncat\n")
    (program / "run").chmod(0o755)
    content = random.Random(1).randbytes(12 << 20)
    (program / "table").write_bytes(content)
    s3 = cloud.client("s3")
    [bucket] = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    key = f"push/files/{hashlib.sha256(content).hexdigest()}"
    for first in (4 << 20, 5 << 20):  # the first one has other parts
        begun = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        s3.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=1, Body=content[:first])
    said = cloud.baton("push", "--root", cloud.user, "--program", "big", "--part", 5)
    assert "part 2 of 3" in said and "part 3 of 3" in said and "part 1 of 3" not in said, said
    there = cloud.efs / "programs" / "big"
    assert (there / "table").read_bytes() == content
    assert os.access(there / "run", os.X_OK) and not os.access(there / "table", os.X_OK)


def starts_on_lambda(binary, said):
    """deploy finds the same glibc in the binary as objdump, and it is not newer than Amazon Linux 2023's."""
    glibc = int(re.search(r"needs glibc 2\.(\d+);", said)[1])
    assert glibc <= 34
    if shutil.which("objdump"):
        symbols = subprocess.run(["objdump", "-T", binary], capture_output=True, text=True, check=True).stdout
        assert glibc == max(int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", symbols))


def demo_job():
    return {
        "dataset": "patterns", "network": "baton_small", "image_size": 48, "unit_images": 32, "rounds": 20, "batch": 16,
        "learning_rate": 0.02, "weight_decay": 0.001, "seed": 1,
    }


def allowed_and_used(cloud):
    """Every call of the functions was allowed by the template, and everything that the template allows was used."""
    given = {"VpcId": "v", "SubnetA": "a", "SubnetB": "b", "CodeKey": "c"}
    outputs = cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    named = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    arns = {
        "<Table.Arn>": f"arn:aws:dynamodb:us-east-1:*:table/{named['Table']}",
        "<Bucket.Arn>": f"arn:aws:s3:::{named['Bucket']}",
        "<Watchdog.Arn>": f"arn:aws:events:us-east-1:*:rule/{named['Watchdog']}",
    }
    granted = list(iam.grants(Rendering(load("trainer.yaml"), given, STACK), arns))
    calls = set(cloud.calls)
    assert len(cloud.calls) > 100 and len(calls) >= 10, calls
    assert not iam.refused(calls, granted)
    assert not iam.unused(calls, granted)
    # The check itself: it finds one grant less, and one more.
    assert iam.refused(calls, [grant for grant in granted if grant[1] != "dynamodb:PutItem"])
    assert iam.unused(calls, [*granted, ("More", "dynamodb:GetItem", arns["<Table.Arn>"])])
