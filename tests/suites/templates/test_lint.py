"""cfn-lint is clean; every finding of checkov has an answer, and every answer a finding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from render import CHOICES, FOLDER, ROLE

ANSWERS = {
    ("Function", "CKV_AWS_116"): "failed events go to a queue by the event-invoke configuration, which keeps more than a dead-letter queue",
    ("Switch", "CKV_AWS_116"): "is called synchronously only: its caller sees the failure",
    ("Switch", "CKV_AWS_117"): "must reach EventBridge, which from inside the network costs 7 dollars a month",
    ("Switch", "CKV_AWS_115"): "a new account has 10 concurrent executions in all: none can be held back",
    ("Function", "CKV_AWS_173"): "the environment holds names, no secrets; a key of one's own costs a dollar a month",
    ("Switch", "CKV_AWS_173"): "the environment holds one name, no secret",
    ("FailedEvents", "CKV_AWS_27"): "encrypted by SQS's own key (SqsManagedSseEnabled), which checkov does not count",
    ("Warnings", "CKV_AWS_26"): "an alarm may not publish under SNS's own key; the message names a queue, no secret",
    ("LogGroup", "CKV_AWS_158"): "always encrypted by CloudWatch's own key; nothing secret is logged",
    ("Table", "CKV_AWS_119"): "always encrypted by DynamoDB's own key; progress is no secret",
    ("Table", "CKV_AWS_28"): "a parameter: the table is a view, which the next report draws again",
    ("Bucket", "CKV_AWS_18"): "a bucket for its own owner; access logs would need a second bucket that nobody reads",
    ("Bucket", "CKV_AWS_21"): "objects are named by their content and never change; versions would keep what was deleted",
    ("Role", "CKV_AWS_111"): "network interfaces only, by Lambda itself; the code is denied them by a statement of its own",
}


@pytest.mark.parametrize("name", list(CHOICES))
def test_cfn_lint_is_clean(name):
    linter = Path(sys.executable).with_name("cfn-lint")
    found = subprocess.run([linter, "--non-zero-exit-code", "informational", FOLDER / name], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_what_a_lab_is_sent_is_clean_and_has_nothing_of_iam(binaries, tmp_path):
    command = [binaries / "baton", "deploy", "--role", ROLE, "--keep", "files", "--print", "trainer"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "AWS::IAM" not in printed and "DeletionPolicy: Retain" in printed
    (tmp_path / "trainer.yaml").write_text(printed)
    linter = Path(sys.executable).with_name("cfn-lint")
    found = subprocess.run([linter, tmp_path / "trainer.yaml"], capture_output=True, text=True)
    # The conditions about roles are always false here; another template would not be worth it.
    assert "E" not in {line[0] for line in found.stdout.splitlines() if line}, found.stdout


def test_every_finding_of_checkov_is_answered():
    checkov = os.environ.get("BATON_CHECKOV")
    if not checkov:
        pytest.skip("checkov is not installed: tests/suites/cloud puts it where BATON_CHECKOV says")
    command = [checkov, "--directory", FOLDER.name, "--framework", "cloudformation", "--output", "json", "--quiet", "--skip-download"]
    # checkov takes a path of forty letters and slashes, which some folder may have, for a secret key.
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True)
    report = json.loads(done.stdout)
    results = report["results"]
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["resource_count"] > 20
    found = {(check["resource"].rsplit(".", 1)[1], check["check_id"]) for check in results["failed_checks"]}
    assert found == set(ANSWERS), f"new: {found - set(ANSWERS)}, gone: {set(ANSWERS) - found}"
