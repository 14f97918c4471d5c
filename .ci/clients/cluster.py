"""Clients of Redis Cluster through the life of a cluster: a join, a leave, a rolling restart, crashes.

    cluster.py DUNLIN LOAD FOLDER [CLIENT...]

DUNLIN is the server's program, LOAD the program with the clients of Rust (cluster_load.rs), FOLDER has
the Node packages and takes the servers' directories. All clients work at the same time, each a program
that sets and gets keys all over the slots (cluster_load.*). Before each phase they are told its name; at
its end they say what they have done. An error is what a client gives to its user after its own retries.
There may be none, but when a node is killed: then every slot has to be served again in time, and the
clients have to come back.
"""

import atexit
import binascii
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

# All that was started: it does not outlive this.
started = []


@atexit.register
def end_all():
    for process in started:
        process.kill()


# How long the cluster may take for anything, on a machine that does much else.
LIMIT = 120
# After a kill: until every slot is served again, in seconds, and if it was Raft's leader.
SERVICE, SERVICE_LEADER = 4.0, 5.5
# How much later the last client may be without errors: some wait between their own attempts.
COMEBACK = 25
# How long a phase lasts at least, and goes on after its change.
BEFORE, AFTER = 1, 3


class Node:
    def __init__(self, folder, port):
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.folder = os.path.join(folder, f"node-{port}")
        os.makedirs(self.folder)
        self.process = None
        self.start()

    def start(self):
        options = ["--dir", self.folder, "--cluster-enabled", "yes", "--cluster-linger", "4"]
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [DUNLIN, "--port", str(self.port), *options, *EXTRA],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        started.append(self.process)
        wait(f"{self.address} answers", lambda: self.figures())

    def figures(self):
        try:
            text = run("redis-cli", "-p", str(self.port), "cluster", "info")
        except subprocess.CalledProcessError:
            return {}
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def leads(self):
        return self.figures().get("cluster_raft_role") == "leader"

    def stop(self, number):
        self.process.send_signal(number)
        return self.process.wait(LIMIT)


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT).stdout


def tool(*words):
    done = subprocess.run([DUNLIN, "cluster", *words], capture_output=True, text=True, timeout=LIMIT)
    if done.returncode != 0:
        sys.exit(f"dunlin cluster {' '.join(words)}: {done.stdout}{done.stderr}")


def wait(what, condition):
    end = time.time() + LIMIT
    while not condition():
        if time.time() > end:
            sys.exit(f"never: {what}")
        time.sleep(0.1)


def settle(nodes):
    """Waits until all of them serve, and every slot is where it shall be and has a copy."""
    wanted = {
        "cluster_state": "ok",
        "cluster_known_nodes": str(len(nodes)),
        "cluster_slots_to_move": "0",
        "cluster_slots_without_backup": "0",
    }

    def seen():
        return [{name: node.figures().get(name) for name in wanted} for node in nodes]

    end = time.time() + LIMIT
    while any(one != wanted for one in seen()):
        if time.time() > end:
            sys.exit(f"not settled: {seen()}")
        time.sleep(0.1)


def key_of_each_slot():
    keys = {}
    number = 0
    while len(keys) < 16384:
        key = b"probe:%d" % number
        keys.setdefault(binascii.crc_hqx(key, 0) % 16384, key)
        number += 1
    return list(keys.values())


class Survey:
    """Writes to all slots, through all nodes that live, until each has taken a write."""

    def __init__(self):
        self.requests = [
            b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\n1\r\n" % (len(key), key)
            for key in key_of_each_slot()
        ]
        random.shuffle(self.requests)

    def run(self, nodes, began):
        """Seconds after which every slot was served."""
        left = self.requests
        sockets = [self.connect(node) for node in nodes]
        while left:
            some, left = left[:256], left[256:]
            replies = [self.ask(s, some) for s in sockets]
            unserved = [
                request for request, *each in zip(some, *replies) if b"+OK" not in each
            ]
            left = unserved + left
            if unserved:
                if time.time() - began > LIMIT:
                    sys.exit(f"{len(left)} slots are not served, {set(sum(replies, []))}")
                time.sleep(0.05)
                # A node without a lease closes its connections.
                sockets = [s if r else self.connect(n) for s, r, n in zip(sockets, replies, nodes)]
        return time.time() - began

    def connect(self, node):
        try:
            return socket.create_connection(("127.0.0.1", node.port), timeout=10)
        except OSError:
            return None

    def ask(self, s, requests):
        """A line for each, or none at all."""
        if s is None:
            return []
        try:
            s.sendall(b"".join(requests))
            data = b""
            while data.count(b"\r\n") < len(requests):
                more = s.recv(1 << 16)
                if not more:
                    return []
                data += more
        except OSError:
            return []
        return data.split(b"\r\n")[: len(requests)]


class Load:
    def __init__(self, name, command, ports):
        self.name = name
        self.process = subprocess.Popen(
            [*command, name, *map(str, ports)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        started.append(self.process)

    def works(self):
        self.say("")
        return self.hear()["done"] > 0

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has ended: {self.process.wait()}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        if self.process.wait(LIMIT) != 0:
            sys.exit(f"{self.name}: exit code {self.process.returncode}")


class Matrix:
    """What each client has done in each phase."""

    def __init__(self, loads):
        self.loads = loads
        self.phases = []
        self.cells = {load.name: [] for load in loads}
        self.faults = []

    def phase(self, name, action):
        """An action that kills says when, and after how long all slots were served."""
        started = time.time()
        for load in self.loads:
            load.say(name)
        time.sleep(BEFORE)
        killed, served = action() or (None, None)
        if killed:
            # Until all clients are back.
            time.sleep(max(0, killed + served + 5 - time.time()))
        time.sleep(AFTER)
        self.phases.append(name)
        for load in self.loads:
            load.say("")
        print(f"--- {name}: {time.time() - started:.1f} s", flush=True)
        if killed:
            print(f"every slot is served after {served:.2f} s")
        for load in self.loads:
            self.judge(name, load.name, load.hear(), killed, served)

    def judge(self, phase, client, told, killed, served):
        print(f"{client}: {json.dumps(told)}", flush=True)
        errors, limits, wrong = told["errors"], told["limits"], told["wrong"]
        cell = f"{told['done']}"
        cell += f" {errors} err" if errors else ""
        cell += f" {wrong} old" if wrong else ""
        cell += f" ({limits})" if limits else ""
        if killed and told["trouble"]:
            cell += f" {told['trouble'] - killed:.1f}s"
        else:
            cell += f" {told['longest']:.2f}s"
        self.cells[client].append(cell)
        fault = None
        if told["done"] < 3:
            fault = "has done next to nothing"
        elif not killed and errors + wrong > 0:
            fault = told["first"]
        elif killed and told["trouble"] > killed + served + COMEBACK:
            fault = f"is not back: {told['first']}"
        if fault:
            self.faults.append(f"{phase}: {client}: {fault}")

    def table(self):
        rows = [["client", *self.phases]]
        rows += [[load.name, *self.cells[load.name]] for load in self.loads]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        print("commands, errors, old values, (limits of the client itself), and the longest wait in seconds;")
        print("after a kill: when the last error or long wait ended")


def free_ports(count):
    """Below the kernel's own range, with the bus ports 10000 above."""
    ports = []
    while len(ports) < count:
        port = random.randrange(11000, 20000)
        try:
            for one in (port, port + 10000):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", one))
            ports.append(port)
        except OSError:
            pass
    return ports


def loads(ports):
    here = os.path.dirname(os.path.abspath(__file__))
    python, node = ["python3", f"{here}/cluster_load.py"], ["node", f"{here}/cluster_load.js"]
    commands = {
        "redis-py": python,
        "redis-py-async": python,
        "ioredis": node,
        "node-redis": node,
        "redis-rs": [LOAD],
        "redis-rs-async": [LOAD],
        "fred": [LOAD],
        "redis-cli": python,
        "redis-benchmark": python,
    }
    return [
        Load(name, command, ports) for name, command in commands.items() if name in (CLIENTS or commands)
    ]


def channels(ports):
    """Messages between clients of different nodes."""
    here = os.path.dirname(os.path.abspath(__file__))
    for command in (["python3", f"{here}/cluster_channels.py"], ["node", f"{here}/cluster_channels.js"]):
        done = subprocess.run([*command, *map(str, ports)], timeout=LIMIT)
        if done.returncode != 0:
            sys.exit(f"{command[1]}: exit code {done.returncode}")


def main():
    survey = Survey()
    ports = free_ports(4)
    nodes = [Node(FOLDER, port) for port in ports[:3]]
    tool("create", *(node.address for node in nodes))
    settle(nodes)
    matrix = Matrix(loads(ports[:3]))
    for load in matrix.loads:
        wait(f"{load.name} works", load.works)

    def join():
        nodes.append(Node(FOLDER, ports[3]))
        tool("add-node", nodes[3].address, nodes[0].address)
        settle(nodes)

    def leave():
        # It stays for a while and says where its slots have gone.
        gone = nodes.pop(1)
        tool("del-node", gone.address)
        settle(nodes)
        gone.stop(signal.SIGTERM)

    def restart():
        for node in nodes:
            node.stop(signal.SIGTERM)
            node.start()
            settle(nodes)

    def kill(is_victim):
        node = next(node for node in nodes if is_victim(node))
        others = [other for other in nodes if other is not node]
        began = time.time()
        node.stop(signal.SIGKILL)
        served = survey.run(others, began)
        limit = SERVICE_LEADER if is_victim(node) else SERVICE
        settle(others)
        node.start()
        settle(nodes)
        return began, served

    def kill_follower():
        began, served = kill(lambda node: not node.leads())
        if served > SERVICE:
            matrix.faults.append(f"kill: slots were not served for {served:.2f} s")
        return began, served

    def kill_leader():
        began, served = kill(lambda node: node.leads())
        if served > SERVICE_LEADER:
            matrix.faults.append(f"kill of the leader: slots were not served for {served:.2f} s")
        return began, served

    matrix.phase("steady", lambda: time.sleep(2))
    matrix.phase("join", join)
    channels(ports)
    matrix.phase("leave", leave)
    matrix.phase("restart", restart)
    matrix.phase("kill", kill_follower)
    matrix.phase("kill leader", kill_leader)
    matrix.table()
    for load in matrix.loads:
        load.end()
    tool("check", nodes[0].address)
    for node in nodes:
        node.stop(signal.SIGKILL)
    for node in nodes:
        with open(os.path.join(node.folder, "log"), encoding="utf-8") as log:
            if "panicked" in log.read():
                matrix.faults.append(f"{node.address} has panicked")
    if matrix.faults:
        sys.exit("\n".join(matrix.faults))
    for node in nodes:
        shutil.rmtree(node.folder)


if __name__ == "__main__":
    DUNLIN, LOAD, FOLDER, *CLIENTS = sys.argv[1:]
    EXTRA = os.environ.get("DUNLIN_EXTRA", "").split()
    main()
