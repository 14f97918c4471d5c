"""Load of one client for cluster.py: redis-py, redis-py-async, redis-cli or redis-benchmark.

    cluster_load.py CLIENT PORT...

A line on stdin begins a phase, an empty one ends it; then what was done is printed as JSON:

    done      commands (redis-benchmark: runs)
    errors    those that the client gave to its user as failed, after its own retries
    limits    failures that are the client's own, whoever serves: redis-benchmark ends, or waits for
              ever, when a connection ends, and ends when it sees a node that it has not known at its
              start; redis-rs (blocking) stumbles over connections to nodes that have gone; redis-py
              (asyncio) writes to a connection that another of its tasks has just closed; node-redis drops
              connections with the commands on them (cluster_load.js)
    wrong     values that were not the last that was acknowledged, nor a miss
    longest   the longest wait, in seconds
    trouble   when the last command ended that failed or took more than a second, or 0
    first     the first thing that was wrong; a limit only if there was nothing else
"""

import asyncio
import itertools
import json
import random
import subprocess
import sys
import threading
import time

NAME, PORTS = sys.argv[1], [int(port) for port in sys.argv[2:]]
# As many commands are under way at once, each for keys of its own.
WORKERS, KEYS = 4, 250
PAUSE, PAUSE_AFTER_ERROR, SLOW = 0.008, 0.05, 1.0
# What redis-benchmark says of what it cannot bear, before its exit.
LIMITS = (
    "Server closed the connection",
    "Connection reset by peer",
    "Connection refused",
    "could not find node with ID",
    "Could not connect",
)


class Limit(Exception):
    pass


class Board:
    """What was done in a phase."""

    def __init__(self):
        self.lock = threading.Lock()
        self.begin()

    def begin(self):
        self.told = dict(done=0, errors=0, limits=0, wrong=0, longest=0.0, trouble=0.0, first=None)
        self.first_is_limit = False

    def tell(self, took, error=None, wrong=None):
        with self.lock:
            told = self.told
            told["done"] += 1
            told["longest"] = max(told["longest"], took)
            told["limits"] += isinstance(error, Limit)
            told["errors"] += error is not None and not isinstance(error, Limit)
            told["wrong"] += wrong is not None
            if took > SLOW or (error is not None and not isinstance(error, Limit)):
                told["trouble"] = time.time()
            if error is None and wrong is None:
                return
            if told["first"] is None or (self.first_is_limit and not isinstance(error, Limit)):
                told["first"] = wrong or f"{type(error).__name__}: {error}"
                self.first_is_limit = isinstance(error, Limit)


board = Board()


class Work:
    """What a worker does, and what it knows of its keys."""

    def __init__(self, worker):
        self.worker, self.last, self.counts = worker, {}, itertools.count()

    def next(self):
        """The next key, and the value that it gets; None: it is read. All are set, then read."""
        count = next(self.counts)
        key = f"{NAME}:{self.worker}:{count * 7 % KEYS}"
        return key, None if count // KEYS % 2 else count

    def tell(self, key, value, began, answer=None, error=None):
        wrong, known = None, self.last.get(key)
        if error is not None:
            if value is not None:  # what a failed command has done is not known
                self.last.pop(key, None)
        elif value is not None:
            self.last[key] = value
        elif known is not None and answer is not None and int(answer) != known:
            wrong = f"{key}: {answer} for {known}"
        board.tell(time.time() - began, error, wrong)
        return PAUSE if error is None else PAUSE_AFTER_ERROR


def in_threads(put, get):
    def work(worker):
        work = Work(worker)
        while True:
            key, value = work.next()
            began, answer, error = time.time(), None, None
            try:
                answer = get(key) if value is None else put(key, value)
            except Exception as e:  # whatever the client gives to its user
                error = e
            time.sleep(work.tell(key, value, began, answer, error))

    for worker in range(WORKERS):
        threading.Thread(target=work, args=[worker], daemon=True).start()


def redis_py():
    from redis.cluster import ClusterNode, RedisCluster

    nodes = [ClusterNode("127.0.0.1", port) for port in PORTS]
    client = RedisCluster(startup_nodes=nodes, decode_responses=True)
    in_threads(client.set, client.get)


def redis_py_async():
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    async def work(client, worker):
        work = Work(worker)
        while True:
            key, value = work.next()
            began, answer, error = time.time(), None, None
            try:
                answer = await (client.get(key) if value is None else client.set(key, value))
            except AttributeError as e:
                error = Limit(e) if "'writelines'" in str(e) else e
            except Exception as e:  # whatever the client gives to its user
                error = e
            await asyncio.sleep(work.tell(key, value, began, answer, error))

    async def main():
        nodes = [ClusterNode("127.0.0.1", port) for port in PORTS]
        client = RedisCluster(startup_nodes=nodes, decode_responses=True)
        await asyncio.gather(*(work(client, worker) for worker in range(WORKERS)))

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()


def redis_cli():
    def call(*words):
        # A node that is down is no error of the client: it is told one address only, and tries once.
        for _ in range(300):
            command = ["redis-cli", "-c", "-e", "-p", str(random.choice(PORTS)), *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                return done.stdout.strip() or None
            text = (done.stdout + done.stderr).strip()
            if "Could not connect" not in text and "Server closed the connection" not in text:
                raise RuntimeError(text)
            time.sleep(0.05)
        raise RuntimeError("no node can be reached")

    in_threads(lambda key, value: call("set", key, value), lambda key: call("get", key))


def redis_benchmark():
    def work():
        while True:
            port = str(random.choice(PORTS))
            command = ["redis-benchmark", "--cluster", "-p", port, "-c", "6", "-t", "set,get"]
            began, error = time.time(), None
            try:
                limit = ["-n", "200", "-r", "10000", "-q"]
                done = subprocess.run([*command, *limit], capture_output=True, text=True, timeout=8)
                if done.returncode != 0:
                    lines = (done.stderr or done.stdout).strip().splitlines()
                    text = next((line for line in lines if any(limit in line for limit in LIMITS)), None)
                    error = RuntimeError(lines[-1:]) if text is None else Limit(text)
            except subprocess.TimeoutExpired:
                error = Limit("it does not end")
            board.tell(time.time() - began, error)
            time.sleep(0.3)

    threading.Thread(target=work, daemon=True).start()


{
    "redis-py": redis_py,
    "redis-py-async": redis_py_async,
    "redis-cli": redis_cli,
    "redis-benchmark": redis_benchmark,
}[NAME]()
for line in sys.stdin:
    with board.lock:
        if line.strip():
            board.begin()
        else:
            print(json.dumps(board.told), flush=True)
