"""Flask under gunicorn, for real: an application that is loaded before the fork, with workers of several kinds."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.conftest import missing
from tests.harness import children
from tests.harness.ports import free_port

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs fork")

WORKERS = 2
REQUESTS = 40
APPLICATION = """
import os
from flask import Flask
from chuk_sessions.integrations.flask import ChukSessions, session

app = Flask(__name__)
ChukSessions(app)

@app.get("/start")
def start():
    session["started"] = True
    return ""

@app.get("/<number>")
def visit(number):
    session[number] = os.getpid()
    session.append("visits", number)
    return {"worker": os.getpid()}

@app.get("/all")
def show():
    return dict(session)

if os.environ["EARLY"]:
    app.test_client().get("/start")
"""


@contextmanager
def gunicorn(server, folder, *options, early):
    """Run gunicorn until the end of the context, and yield its URL. It must stop without an error."""
    for package in ("flask", "gunicorn", "gevent"):
        if not importlib.util.find_spec(package):
            missing(f"the package {package} is not installed")
    (folder / "visits.py").write_text(APPLICATION)
    port = free_port()
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "gunicorn", "--chdir", str(folder)]
    command += ["--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--no-control-socket", *options]
    variables = {"SESSION_PROVIDER": "redis", "SESSION_REDIS_URL": server.url, "EARLY": early}
    with children.running(*command, "visits:app", **variables) as child:
        child.wait_for("Booting worker", WORKERS)
        yield f"http://127.0.0.1:{port}"
        child.process.terminate()
        assert child.wait() == 0, child.printed()
        assert "Traceback" not in child.printed()


def get(url, cookie=""):
    request = urllib.request.Request(url, headers={"Cookie": cookie})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.headers["Set-Cookie"] or "", response.read()


@pytest.mark.parametrize(
    ("options", "early"),
    [
        (["--worker-class=sync", "--preload"], "1"),
        (["--worker-class=gevent", "--preload"], ""),
    ],
    ids=["sync", "gevent"],
)
def test_concurrent_requests_of_one_session_keep_all_changes(server, tmp_path, options, early):
    with gunicorn(server, tmp_path, *options, early=early) as url:
        cookie = get(f"{url}/start")[0].partition(";")[0]
        workers, numbers = set(), []
        give_up = time.monotonic() + 60
        with ThreadPoolExecutor(8) as pool:
            while len(workers) < WORKERS:
                assert time.monotonic() < give_up
                batch = [str(number) for number in range(len(numbers), len(numbers) + REQUESTS)]
                numbers += batch
                replies = pool.map(lambda number: get(f"{url}/{number}", cookie), batch)
                workers |= {json.loads(body)["worker"] for _, body in replies}
        session = json.loads(get(f"{url}/all", cookie)[1])
        assert sorted(session["visits"], key=int) == numbers
        assert {session[number] for number in numbers} == workers
