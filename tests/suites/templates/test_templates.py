"""Rules of this project that the linters do not have, checked on every combination of the parameters."""

import re

import pytest
from render import CHOICES, FOLDER, Rendering, combinations, load

NAMES = list(CHOICES)
# Actions for which AWS has no finer resource, each with the reason.
EVERY_RESOURCE = {
    "ec2:CreateNetworkInterface": "Lambda checks, when a function is made, that its role may do this to any resource",
    "ec2:DescribeNetworkInterfaces": "Describe actions know no resource",
    "ec2:DescribeSubnets": "Describe actions know no resource",
    "ec2:DeleteNetworkInterface": "the interface's name is Lambda's own and not known before",
    "ec2:AssignPrivateIpAddresses": "the interface's name is Lambda's own and not known before",
    "ec2:UnassignPrivateIpAddresses": "the interface's name is Lambda's own and not known before",
}


@pytest.fixture(scope="module", params=NAMES)
def renderings(request):
    template = load(request.param)
    return [Rendering(template, chosen) for chosen in combinations(request.param)]


def listed(value):
    return value if isinstance(value, list) else [value]


def statements(rendering):
    """Every statement of every policy, with its resource."""
    for name, role in rendering.of_type("AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


def rendered(**parameters):
    given = {"VpcId": "vpc-1", "SubnetA": "subnet-1", "SubnetB": "subnet-2", "CodeKey": "trainer/0.zip"}
    return Rendering(load("trainer.yaml"), {**given, **parameters})


@pytest.mark.parametrize("name", NAMES)
def test_every_combination_renders_and_names_only_what_is_there(name):
    template, tried = load(name), combinations(name)
    for chosen in tried:
        rendering = Rendering(template, chosen)
        for resource_name, resource in rendering.resources.items():
            for other in listed(resource.get("DependsOn", [])):
                assert other in rendering.resources, f"{resource_name} waits for {other}, which is not there"
    assert len(tried) >= 16


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_and_every_condition_was_tried_both_ways(name):
    template = load(name)
    allowed = {key: p["AllowedValues"] for key, p in template["Parameters"].items() if "AllowedValues" in p}
    for key, values in CHOICES[name].items():
        assert all(value in allowed.get(key, values) for value in values), key
    seen = {condition: set() for condition in template["Conditions"]}
    for chosen in combinations(name):
        for condition, value in Rendering(template, chosen).conditions.items():
            seen[condition].add(value)
    assert all(values == {True, False} for values in seen.values()), seen


@pytest.mark.parametrize("name", NAMES)
def test_a_template_fits_into_the_call_and_has_no_unused_parameter(name):
    text = (FOLDER / name).read_text()
    assert len(text.encode()) <= 51_200, "CloudFormation takes 51,200 bytes in a call"
    for parameter in load(name)["Parameters"]:
        used = re.search(rf"!Ref {parameter}\b|\$\{{{parameter}\}}", text)
        assert used, f"{parameter} is never used"


def test_the_defaults_fit_a_lab_account():
    parameters = load("trainer.yaml")["Parameters"]
    assert parameters["MemorySize"]["Default"] == 3008 and parameters["TimeLimit"]["Default"] == 900
    function = rendered().of_type("AWS::Lambda::Function")["Function"]
    assert "ReservedConcurrentExecutions" not in function
    network = Rendering(load("network.yaml"), {})
    assert not network.of_type("AWS::EC2::NatGateway") and network.of_type("AWS::EC2::VPCEndpoint")


def test_memory_and_time_are_held_to_what_lambda_takes():
    parameters = load("trainer.yaml")["Parameters"]
    assert (parameters["MemorySize"]["MinValue"], parameters["MemorySize"]["MaxValue"]) == (128, 10240)
    assert parameters["TimeLimit"]["MaxValue"] == 900
    for function in rendered().of_type("AWS::Lambda::Function").values():
        assert 128 <= int(function["MemorySize"]) <= 10240 and 1 <= int(function["Timeout"]) <= 900


def test_the_function_waits_for_every_mount_target_and_the_way_to_it():
    rendering = rendered()
    waits = rendering.resources["Function"]["DependsOn"]
    targets = list(rendering.of_type("AWS::EFS::MountTarget"))
    assert len(targets) == 2 and set(targets) <= set(waits)
    assert {"FunctionToFiles", "FilesFromFunction"} <= set(waits)
    subnets = {target["SubnetId"] for target in rendering.of_type("AWS::EFS::MountTarget").values()}
    function = rendering.resources["Function"]["Properties"]
    assert subnets == set(function["VpcConfig"]["SubnetIds"])
    [mount] = function["FileSystemConfigs"]
    assert mount["LocalMountPath"] == function["Environment"]["Variables"]["BATON_ROOT"]


def test_recursion_is_allowed_and_a_failed_event_is_tried_twice_and_kept():
    rendering = rendered()
    assert rendering.resources["Function"]["Properties"]["RecursiveLoop"] == "Allow"
    delivery = rendering.resources["Delivery"]["Properties"]
    assert delivery["MaximumRetryAttempts"] == 2 and delivery["Qualifier"] == "$LATEST"
    assert delivery["DestinationConfig"]["OnFailure"]["Destination"] == "<FailedEvents.Arn>"


def test_the_fuse_is_ours_and_on_unless_a_job_says_more(repository):
    # RecursiveLoop: Allow switches the platform's protection off, so a job without limits must have some.
    source = (repository / "trainer/protocol/src/job.rs").read_text()
    for limit in ("invocations: 20_000", "dollars: 5.0", "hours: 24.0", "legs_per_worker: 400"):
        assert limit in source, f"the default limit {limit} is gone"


def test_the_watchdog_is_off_until_the_function_switches_it_on():
    rendering = rendered()
    rule = rendering.resources["Watchdog"]["Properties"]
    assert rule["State"] == "DISABLED" and rule["Targets"][0]["Input"] == '{"tick":true}'
    assert rendering.resources["WatchdogMayTick"]["Properties"]["SourceArn"] == "<Watchdog.Arn>"
    function, switch = (rendering.resources[name]["Properties"] for name in ("Function", "Switch"))
    assert function["Environment"]["Variables"]["BATON_WATCHDOG"] == switch["FunctionName"]
    assert switch["Environment"]["Variables"]["RULE"] == "<Watchdog>"


def test_a_given_role_means_no_iam_at_all():
    template = load("trainer.yaml")
    for chosen in combinations("trainer.yaml"):
        rendering = Rendering(template, chosen)
        iam = [n for n, r in rendering.resources.items() if r["Type"].startswith("AWS::IAM::")]
        assert bool(iam) == (chosen["RoleArn"] == ""), chosen
        assert not any("RoleName" in role for role in rendering.of_type("AWS::IAM::Role").values())


def test_no_policy_says_everything_but_where_aws_has_nothing_finer(renderings):
    for rendering in renderings:
        for name, statement in statements(rendering):
            if statement["Effect"] == "Deny":
                continue
            for action in listed(statement["Action"]):
                assert "*" not in action, f"{name}: {action}"
                for resource in listed(statement["Resource"]):
                    wide = resource == "*" or resource.endswith(":*")
                    assert not wide or action in EVERY_RESOURCE, f"{name}: {action} on {resource}"


def test_nothing_is_public(renderings):
    for rendering in renderings:
        for name, resource in rendering.resources.items():
            kind, properties = resource["Type"], resource.get("Properties", {})
            assert kind != "AWS::Lambda::Url"
            assert not properties.get("MapPublicIpOnLaunch", False), name
            if kind == "AWS::Lambda::Permission":
                assert properties["Principal"].endswith(".amazonaws.com") and "SourceArn" in properties
            if kind == "AWS::S3::Bucket":
                block = properties["PublicAccessBlockConfiguration"]
                assert len(block) == 4 and all(block.values())
            if kind == "AWS::EC2::SecurityGroupIngress":
                assert "CidrIp" not in properties, name
            for rule in properties.get("SecurityGroupIngress", []):
                assert rule["CidrIp"] != "0.0.0.0/0", name
        for name, policy in rendering.of_type("AWS::S3::BucketPolicy").items():
            assert all(s["Effect"] == "Deny" for s in policy["PolicyDocument"]["Statement"])
        for name, files in rendering.of_type("AWS::EFS::FileSystem").items():
            for statement in files["FileSystemPolicy"]["Statement"]:
                assert statement["Effect"] == "Deny" or statement["Principal"] != {"AWS": "*"}


def test_nfs_is_open_between_the_function_and_the_file_system_only():
    rendering = rendered()
    rules = {**rendering.of_type("AWS::EC2::SecurityGroupIngress"), **rendering.of_type("AWS::EC2::SecurityGroupEgress")}
    ends = {(r.get("SourceSecurityGroupId"), r.get("DestinationSecurityGroupId"), r["GroupId"]) for r in rules.values()}
    files, function = "<FileSystemGroup>", "<FunctionGroup>"
    assert ends == {(function, None, files), (None, files, function)}
    assert all((r["FromPort"], r["ToPort"]) == (2049, 2049) for r in rules.values())
    assert "SecurityGroupIngress" not in rendering.resources["FunctionGroup"]["Properties"]


def test_two_stacks_share_no_name():
    given = {"VpcId": "vpc-1", "SubnetA": "subnet-1", "SubnetB": "subnet-2", "CodeKey": "trainer/0.zip"}
    names = []
    for stack in ("baton", "b" * 40):
        rendering = Rendering(load("trainer.yaml"), given, stack)
        own = [
            value
            for resource in rendering.resources.values()
            for key, value in resource.get("Properties", {}).items()
            if key in ("FunctionName", "TableName", "BucketName", "QueueName", "LogGroupName", "RoleName", "Name")
            and not value.startswith("<")
        ]
        assert own and all(name.startswith(stack) and len(name) <= 64 for name in own), own
        names.append(own)
    assert not set(names[0]) & set(names[1])


def test_what_holds_data_goes_with_the_stack_unless_it_is_kept():
    rendering = rendered()
    for name in ("FileSystem", "Bucket", "Table", "LogGroup"):
        assert rendering.resources[name]["DeletionPolicy"] == "Delete"
    # A change that would replace a resource with data keeps the old one.
    assert rendering.resources["FileSystem"]["UpdateReplacePolicy"] == "Retain"
    assert rendering.resources["Bucket"]["UpdateReplacePolicy"] == "Retain"


def test_the_renderer_sees_what_is_wrong():
    template = load("trainer.yaml")
    with pytest.raises(AssertionError, match="no value for"):
        Rendering(template, {})
    template["Outputs"]["Function"].pop("Condition")
    with pytest.raises(AssertionError, match="Function is used where"):
        Rendering(template, {"VpcId": "v", "SubnetA": "a", "SubnetB": "b"})


def test_every_endpoint_serves_this_account_alone():
    endpoints = Rendering(load("network.yaml"), {}).of_type("AWS::EC2::VPCEndpoint")
    assert len(endpoints) == 3
    for name, endpoint in endpoints.items():
        for statement in endpoint["PolicyDocument"]["Statement"]:
            held = statement["Condition"]["StringEquals"]
            assert set(held) == {"aws:PrincipalAccount", "aws:ResourceAccount"}, name


def test_what_passes_through_the_bucket_does_not_stay():
    rules = rendered().resources["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert days == {"push/": 30, "runs/": 30, "trainer/": 365}


def test_the_operators_ceiling_reaches_the_function_and_is_there_by_default():
    parameters = load("trainer.yaml")["Parameters"]
    assert parameters["MaxDollarsPerRun"]["Default"] > 0 and parameters["MaxDollarsPerDay"]["Default"] > 0
    variables = rendered(MaxWorkers="7").resources["Function"]["Properties"]["Environment"]["Variables"]
    names = ("DOLLARS_PER_RUN", "DOLLARS_PER_DAY", "WORKERS", "ACTIVE_RUNS")
    assert all(f"BATON_MAX_{name}" in variables for name in names)
    assert str(variables["BATON_MAX_WORKERS"]) == "7"


def test_an_alarm_tells_of_events_that_were_given_up():
    alarm = rendered().resources["EventsFail"]["Properties"]
    assert alarm["Threshold"] == 0 and alarm["ComparisonOperator"] == "GreaterThanThreshold"
    assert "AlarmActions" not in alarm
    told = rendered(BudgetEmail="me@example.org").resources
    assert told["EventsFail"]["Properties"]["AlarmActions"] == ["<Warnings>"]
    assert told["Warnings"]["Properties"]["Subscription"] == [{"Protocol": "email", "Endpoint": "me@example.org"}]
