"""Celery with the Redis broker and result backend: a worker process of its own and its tasks.

    smoke_celery.py PORT     the test; it starts and ends the worker
    celery -A smoke_celery   the worker finds the tasks here; the port is in SMOKE_PORT
"""

import os
import signal
import subprocess
import sys
import tempfile

from celery import Celery, __version__, chain, chord, group

PORT = int(os.environ.get("SMOKE_PORT") or sys.argv[1])

app = Celery(
    "smoke", broker=f"redis://127.0.0.1:{PORT}/10", backend=f"redis://127.0.0.1:{PORT}/11"
)
app.conf.update(
    task_default_queue="smoke",
    result_expires=600,
    task_track_started=True,
    broker_connection_retry_on_startup=True,
    # Unacknowledged tasks and priorities, so that the broker's own tables are in use.
    task_acks_late=True,
    broker_transport_options={"priority_steps": [0, 5, 9], "visibility_timeout": 600},
)


@app.task(name="add")
def add(a, b):
    return a + b


@app.task(name="fails")
def fails(text):
    raise ValueError(text)


@app.task(name="flaky", bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task(name="total")
def total(numbers):
    return sum(numbers)


def wait(result):
    return result.get(timeout=30, interval=0.02)


def tasks():
    import redis

    results = redis.Redis(port=PORT, db=11, decode_responses=True)
    # One round trip, and what it leaves in the result backend.
    result = add.delay(2, 3)
    assert wait(result) == 5 and result.state == "SUCCESS" and result.successful()
    assert results.keys() == [f"celery-task-meta-{result.id}"]
    assert 500 < results.ttl(f"celery-task-meta-{result.id}") <= 600
    result.forget()
    assert results.keys() == []
    failed = fails.delay("on purpose")
    try:
        wait(failed)
        raise AssertionError("the task must fail")
    except ValueError as e:
        assert str(e) == "on purpose" and failed.state == "FAILURE"
    assert wait(flaky.delay()) == 2
    # Later, and with priorities: other lists and the broker's table of unacknowledged tasks.
    assert wait(add.apply_async((1, 1), countdown=0.3)) == 2
    assert [wait(add.apply_async((p, 1), priority=p)) for p in (0, 5, 9)] == [1, 6, 10]
    assert wait(group(add.s(i, i) for i in range(30))()) == [2 * i for i in range(30)]
    assert wait(chain(add.s(1, 2), add.s(10), add.s(100))()) == 113
    # The header's results are collected in the backend, in a transaction.
    assert wait(chord((add.s(i, 1) for i in range(20)), total.s())()) == sum(range(20)) + 20
    # Remote control: a broadcast over pub/sub and replies through lists.
    assert [list(reply.values()) for reply in app.control.ping(timeout=3)] == [[{"ok": "pong"}]]
    return results


def main():
    import redis

    broker = redis.Redis(port=PORT, db=10, decode_responses=True)
    broker.flushdb()
    redis.Redis(port=PORT, db=11).flushdb()
    # When the time limit ends this process, the worker ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    log = tempfile.TemporaryFile("w+")
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "smoke_celery", "worker", "--concurrency=2",
         "--hostname=smoke@localhost", "--loglevel=INFO", "--without-mingle"],
        cwd=os.path.dirname(os.path.abspath(__file__)),
        env={**os.environ, "SMOKE_PORT": str(PORT), "C_FORCE_ROOT": "1"},
        stdout=log, stderr=log, start_new_session=True,
    )
    passed = False
    try:
        results = tasks()
        # A warm shutdown waits for the tasks and leaves nothing unacknowledged.
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        assert broker.exists("unacked", "unacked_index", "smoke") == 0
        results.flushdb()
        broker.flushdb()
        passed = True
    finally:
        # Its children are in its own session: whatever happened, none of them stays.
        try:
            os.killpg(worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        worker.wait()
        if not passed:
            log.seek(0)
            sys.stderr.write(log.read())
    print(f"Celery {__version__}: ok")


if __name__ == "__main__":
    main()
