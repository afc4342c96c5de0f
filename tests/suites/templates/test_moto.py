"""Both templates made, changed and deleted in moto. Its gaps are named, and a test fails when moto closes one."""

import boto3
import pytest
import standins
from botocore.exceptions import ClientError
from render import FOLDER, ROLE

# Types that moto 5.2.1 accepts and ignores; test_templates.py checks the real ones.
IGNORED = {
    "AWS::Budgets::Budget",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
}


@pytest.fixture
def clients():
    with standins.moto() as url:
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        yield lambda service: boto3.client(service, endpoint_url=url, **key)


def parameters(given):
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]


def template(name):
    return (FOLDER / name).read_text()


class Stack:
    def __init__(self, clients, name, file):
        self.calls, self.name, self.file = clients("cloudformation"), name, file

    def change(self, given, make=False, **more):
        call = self.calls.create_stack if make else self.calls.update_stack
        call(StackName=self.name, TemplateBody=template(self.file), Parameters=parameters(given), **more)
        stack = self.calls.describe_stacks(StackName=self.name)["Stacks"][0]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), stack
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def types(self):
        listed = self.calls.list_stack_resources(StackName=self.name)["StackResourceSummaries"]
        return sorted(resource["ResourceType"] for resource in listed)

    def delete(self):
        self.calls.delete_stack(StackName=self.name)
        live = [s for s in self.calls.list_stacks()["StackSummaries"] if s["StackName"] == self.name]
        assert all(s["StackStatus"] == "DELETE_COMPLETE" for s in live), live


def test_the_network_is_made_and_changed(clients):
    stack = Stack(clients, "network", "network.yaml")
    outputs = stack.change({}, make=True)
    assert outputs["Outbound"] == "endpoints" and outputs["SubnetA"] != outputs["SubnetB"]
    subnets = clients("ec2").describe_subnets(SubnetIds=[outputs["SubnetA"], outputs["SubnetB"]])["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    endpoints = clients("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    services = {e["ServiceName"].rsplit(".", 1)[1]: e["VpcEndpointType"] for e in endpoints if e["VpcId"] == outputs["VpcId"]}
    assert services == {"dynamodb": "Gateway", "s3": "Gateway", "lambda": "Interface"}
    outputs = stack.change({"Outbound": "nat"})
    assert "AWS::EC2::NatGateway" in stack.types() and outputs["Outbound"] == "nat"
    # moto does not delete the parts of a network before the network; MiniStack does.
    with pytest.raises(ClientError, match="has dependencies"):
        stack.delete()


@pytest.mark.parametrize("role", ["", ROLE])
def test_the_trainer_is_made_without_code_then_with_it_and_deleted(clients, role):
    network = Stack(clients, "network", "network.yaml").change({}, make=True)
    given = {key: network[key] for key in ("VpcId", "SubnetA", "SubnetB")}
    given |= {"RoleArn": role, "BudgetEmail": "me@example.org"}
    # With a given role no capability is passed, as in a lab.
    allowed = {} if role else {"Capabilities": ["CAPABILITY_IAM"]}
    if role:
        trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
        clients("iam").create_role(RoleName=role.rsplit("/", 1)[1], AssumeRolePolicyDocument=trust)
    stack = Stack(clients, "trainer", "trainer.yaml")
    outputs = stack.change(given, make=True, **allowed)
    assert "Function" not in outputs and not IGNORED & set(stack.types())
    clients("s3").put_object(Bucket=outputs["Bucket"], Key="trainer/0.zip", Body=standins.small_zip())
    outputs = stack.change({**given, "CodeKey": "trainer/0.zip"}, **allowed)
    assert outputs["Function"] == "trainer" == outputs["Table"]
    about = clients("lambda").get_function_configuration(FunctionName="trainer")
    assert (about["MemorySize"], about["Timeout"], about["Runtime"]) == (3008, 900, "provided.al2023")
    assert not role or about["Role"] == role
    assert about["Environment"]["Variables"]["BATON_BUCKET"] == outputs["Bucket"]
    assert clients("events").describe_rule(Name=outputs["Watchdog"])["State"] == "DISABLED"
    # Nor does moto read TimeToLiveSpecification and PublicAccessBlockConfiguration from a template; MiniStack does.
    ttl = clients("dynamodb").describe_time_to_live(TableName="trainer")["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "DISABLED"
    roles = [r["RoleName"] for r in clients("iam").list_roles()["Roles"] if r["RoleName"].startswith("trainer-")]
    assert bool(roles) == (role == "")
    clients("s3").delete_object(Bucket=outputs["Bucket"], Key="trainer/0.zip")
    stack.delete()
    assert not clients("lambda").list_functions()["Functions"] and not clients("s3").list_buckets()["Buckets"]
    assert not clients("efs").describe_file_systems()["FileSystems"] and not clients("dynamodb").list_tables()["TableNames"]


def test_the_switch_switches_the_rule(clients, monkeypatch):
    from render import Rendering, load

    rendering = Rendering(load("trainer.yaml"), {"VpcId": "v", "SubnetA": "a", "SubnetB": "b", "CodeKey": "c"})
    code = rendering.resources["Switch"]["Properties"]["Code"]["ZipFile"]
    events = clients("events")
    events.put_rule(Name="watchdog", ScheduleExpression="rate(5 minutes)", State="DISABLED")
    monkeypatch.setenv("RULE", "watchdog")
    space = {}
    exec(compile(code, "index.py", "exec"), space)
    monkeypatch.setattr(space["boto3"], "client", lambda service: events)
    for on, state in ((True, "ENABLED"), (True, "ENABLED"), (False, "DISABLED")):
        assert space["handler"]({"on": on}, None) == {"on": on}
        assert events.describe_rule(Name="watchdog")["State"] == state
    for wrong in ({}, {"on": "yes"}, {"on": True, "rule": "other"}, None):
        with pytest.raises(ValueError):
            space["handler"](wrong, None)
