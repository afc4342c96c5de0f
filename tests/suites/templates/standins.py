"""The stand-ins for AWS that others wrote, as processes on the loopback, each empty at first."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path

KEY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**more):
    """This process's environment without any credentials or endpoints of its user's."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    return {**own, **KEY, "AWS_EC2_METADATA_DISABLED": "true", **more}


@contextlib.contextmanager
def serving(command, url, health, env):
    """Runs a server until it is no longer needed; everything that it started ends with it."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            for _ in range(300):
                assert server.poll() is None, f"{command[0]} ended with {server.returncode}"
                try:
                    urllib.request.urlopen(url + health, timeout=2)
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                raise AssertionError(f"{command[0]} did not answer within 30 s")
            yield url
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def moto():
    port = free_port()
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    return serving(command, f"http://127.0.0.1:{port}", "/moto-api/", environment())


def ministack(folder, **more):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": url, "TMPDIR": str(folder),
           "STATE_DIR": str(folder / "state"), "S3_DATA_DIR": str(folder / "s3")}
    env = environment(**{**own, **more})
    return serving([sys.executable, "-m", "ministack"], url, "/_ministack/health", env)


def small_zip():
    """A zip with a bootstrap that does nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\n")
    return packed.getvalue()
