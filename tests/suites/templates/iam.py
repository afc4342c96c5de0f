"""The function's calls, recorded on their way, and compared with the template's policies."""

import contextlib
import fnmatch
import http.client
import http.server
import json
import re
import threading
import urllib.parse

# Permissions that AWS itself uses with the function's role: no call of the code uses these.
DONE_BY_AWS = {"JoinTheNetwork", "Mount", "Log", "KeepFailedEvents"}


class Recorder(http.server.BaseHTTPRequestHandler):
    """Passes a call on unchanged, with its signature, and notes its action and resource."""

    protocol_version = "HTTP/1.1"

    def do_any(self):
        body = self.body()
        self.server.calls.append(asked(self.command, self.path, self.headers, body))
        connection = http.client.HTTPConnection(self.server.behind, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def recording(port, behind):
    """A recorder on a port of the loopback, in front of the server at `behind`; yields the calls as they come."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Recorder)
    server.behind, server.calls = behind, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(method, path, headers, body):
    """The action and the resource of a call, by the service in its signature."""
    scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", headers.get("Authorization", ""))
    assert scope, f"{method} {path} is not signed"
    region, service = scope.groups()
    path = urllib.parse.unquote(path.split("?")[0])
    if service == "s3":
        return {"GET": "s3:GetObject", "PUT": "s3:PutObject"}.get(method, f"s3:{method}"), f"arn:aws:s3:::{path[1:]}"
    if service == "lambda":
        function = re.fullmatch(r"/2015-03-31/functions/([^/]+)/invocations", path)
        assert function and method == "POST", f"{method} {path}"
        return "lambda:InvokeFunction", f"arn:aws:lambda:{region}:*:function:{function[1]}"
    action = headers["X-Amz-Target"].split(".")[-1]
    given = json.loads(body)
    kind = {"dynamodb": ("table", "TableName"), "events": ("rule", "Name")}[service]
    return f"{service}:{action}", f"arn:aws:{service}:{region}:*:{kind[0]}/{given[kind[1]]}"


def grants(rendering, arns):
    """(statement, action, resource pattern) of everything that the roles allow. `arns` are the references' values."""
    for role in rendering.of_type("AWS::IAM::Role").values():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Effect"] != "Allow":
                    continue
                for action in listed(statement["Action"]):
                    for resource in listed(statement["Resource"]):
                        for reference, arn in arns.items():
                            resource = resource.replace(reference, arn)
                        yield statement["Sid"], action, re.sub(r":\d{12}:", ":*:", resource)


def listed(value):
    return value if isinstance(value, list) else [value]


def allows(grant, call):
    (_, action, pattern), (asked_for, resource) = grant, call
    return asked_for == action and fnmatch.fnmatchcase(resource, pattern)


def refused(calls, granted):
    """Calls that no grant allows."""
    return {call for call in calls if not any(allows(grant, call) for grant in granted)}


def unused(calls, granted):
    """Grants that no call used, except for those that AWS uses."""
    own = [grant for grant in granted if grant[0] not in DONE_BY_AWS]
    return {grant for grant in own if not any(allows(grant, call) for call in calls)}
