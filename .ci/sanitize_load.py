#!/usr/bin/env python3
"""Everything at once on 64 connections, for `.ci/sanitize`: sanitize_load.py PORT SECONDS [SEED]

Four processes with 16 connections each send pipelines: strings of many lengths, so that the store grows
and evicts, keys that expire, values of up to a megabyte, collections, transactions, scripts, messages,
commands that wait, snapshots, and connections that are cut. What is answered is not judged, but that
everything is. At the end the server is told to end.
"""

import multiprocessing
import random
import socket
import sys
import time

PROCESSES, CONNECTIONS = 4, 16


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Connection:
    def __init__(self, port):
        # A server under a sanitizer takes its time to start.
        for attempt in range(600):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=300)
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        else:
            raise SystemExit("the server does not start")
        self.count = 0

    def send(self, commands):
        self.count += 1
        self.mark = b"mark-%d-%d" % (id(self), self.count)
        self.socket.sendall(b"".join(commands) + encode("ECHO", self.mark))

    def receive(self):
        """Reads as far as the answer to the mark; other answers hold no such bytes."""
        seen = b""
        while True:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise SystemExit("the server has closed a connection")
            seen = seen[-64:] + piece
            if self.mark + b"\r\n" in seen:
                return

    def ask(self, *commands):
        self.send([encode(*command) for command in commands])
        self.receive()


def value(r):
    length = r.choice([0, 5, 20, 60, 60, 60, 200, 1000, 5000])
    return bytes([r.randrange(256)]) * length


def strings(r):
    key = f"k:{r.randrange(1_000_000)}"
    return r.choice([
        lambda: [("SET", key, value(r))],
        lambda: [("SET", key, value(r))],
        lambda: [("GET", key)],
        lambda: [("SET", key, value(r), "PX", r.randrange(1, 3000))],
        lambda: [("SET", f"n:{r.randrange(50)}", r.randrange(1000)), ("INCRBY", f"n:{r.randrange(50)}", 7)],
        lambda: [("MSET", *[w for _ in range(20) for w in (f"k:{r.randrange(1_000_000)}", value(r))])],
        lambda: [("MGET", *[f"k:{r.randrange(1_000_000)}" for _ in range(20)])],
        lambda: [("DEL", key, f"k:{r.randrange(1_000_000)}"), ("UNLINK", f"k:{r.randrange(1_000_000)}")],
        lambda: [("APPEND", f"n:{r.randrange(50)}", "x"), ("EXPIRE", key, 2), ("PERSIST", key), ("TTL", key)],
        lambda: [("GETDEL", key), ("RENAME", f"n:{r.randrange(50)}", f"n:{r.randrange(50)}"),
                 ("COPY", f"n:{r.randrange(50)}", key, "REPLACE")],
        lambda: [("PFADD", f"hll:{r.randrange(5)}", *[r.random() for _ in range(20)]),
                 ("PFCOUNT", "hll:0", "hll:1"), ("PFMERGE", "hll:2", "hll:3")],
        lambda: [("SETBIT", "bits:1", r.randrange(100_000), 1), ("BITCOUNT", "bits:1"),
                 ("BITOP", "AND", "bits:2", "bits:1", "bits:3")],
    ])()


def big(r):
    key = f"big:{r.randrange(12)}"
    length = r.choice([33_000, 100_000, 1_000_000])
    return r.choice([
        lambda: [("SET", key, b"b" * length)],
        lambda: [("GET", key)],
        lambda: [("APPEND", key, b"a" * 40_000), ("STRLEN", key)],
        lambda: [("SETRANGE", key, r.randrange(500_000), b"r" * 10_000), ("GETRANGE", key, 1000, 90_000)],
        lambda: [("UNLINK", key)],
        lambda: [("DUMP", key)],
    ])()


def collections(r):
    n = r.randrange(8)
    items = [f"item:{r.randrange(3000)}" for _ in range(r.choice([1, 5, 50]))]
    return r.choice([
        lambda: [("HSET", f"h:{n}", *[w for i in items for w in (i, value(r))]), ("HGETALL", f"h:{r.randrange(8)}")],
        lambda: [("HDEL", f"h:{n}", *items), ("HINCRBY", f"h:{n}", "count", 1), ("HSCAN", f"h:{n}", 0)],
        lambda: [("HEXPIRE", f"h:{n}", 1, "FIELDS", 1, items[0]), ("HRANDFIELD", f"h:{n}", 3)],
        lambda: [("LPUSH", f"l:{n}", *items), ("RPOP", f"l:{n}", 3), ("LRANGE", f"l:{n}", 0, 50)],
        lambda: [("LMOVE", f"l:{n}", f"l:{r.randrange(8)}", "LEFT", "RIGHT"), ("LTRIM", f"l:{n}", 0, 2000)],
        lambda: [("SADD", f"s:{n}", *items), ("SREM", f"s:{n}", items[0]), ("SPOP", f"s:{n}")],
        lambda: [("SUNIONSTORE", f"s:{n}", "s:1", "s:2"), ("SINTER", "s:1", "s:2"), ("SRANDMEMBER", f"s:{n}", -5)],
        lambda: [("ZADD", f"z:{n}", *[w for i in items for w in (r.random(), i)]), ("ZPOPMIN", f"z:{n}")],
        lambda: [("ZRANGE", f"z:{n}", 0, 30, "WITHSCORES"), ("ZUNIONSTORE", f"z:{n}", 2, "z:1", "z:2")],
        lambda: [("XADD", f"x:{n}", "MAXLEN", "~", 1000, "*", "f", value(r)), ("XRANGE", f"x:{n}", "-", "+", "COUNT", 20)],
        lambda: [("XGROUP", "CREATE", f"x:{n}", "g", "$", "MKSTREAM"),
                 ("XREADGROUP", "GROUP", "g", "c", "COUNT", 5, "STREAMS", f"x:{n}", ">"), ("XLEN", f"x:{n}")],
        lambda: [("GEOADD", f"geo:{n}", r.random() * 90, r.random() * 80, items[0]),
                 ("GEOSEARCH", f"geo:{n}", "FROMLONLAT", 10, 10, "BYRADIUS", 5000, "km")],
        lambda: [("UNLINK", r.choice("hlszx") + f":{n}")],
        lambda: [("SORT", f"s:{n}", "ALPHA", "LIMIT", 0, 10), ("OBJECT", "ENCODING", f"h:{n}")],
    ])()


SCRIPTS = [
    "return redis.call('INCR', KEYS[1])",
    "redis.call('SET', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1])",
    "local n = 0; for i = 1, 20000 do n = n + i end; return n",
    "return redis.pcall('LPUSH', KEYS[1], ARGV[1])",
    "local t = {}; for i = 1, 100 do t[i] = redis.call('EXISTS', 'k:' .. i) end; return t",
    "error('no')",
]


def together(r):
    key, script = f"n:{r.randrange(50)}", r.choice(SCRIPTS)
    return r.choice([
        lambda: [("MULTI",), ("INCR", key), ("SET", f"k:{r.randrange(1_000_000)}", value(r)), ("EXEC",)],
        lambda: [("WATCH", key), ("MULTI",), ("SET", key, 1), ("LPUSH", "l:1", "x"), ("EXEC",)],
        lambda: [("MULTI",), ("GET", key), ("DISCARD",)],
        lambda: [("EVAL", script, 1, key, value(r))],
        lambda: [("EVAL", script, 1, key, value(r))],
        lambda: [("PUBLISH", f"c:{r.randrange(4)}", value(r)), ("SPUBLISH", "shard", "x")],
        lambda: [("BLPOP", f"l:{r.randrange(8)}", "none", 0.02)],
        lambda: [("BZPOPMIN", f"z:{r.randrange(8)}", 0.02)],
        lambda: [("SCAN", r.randrange(1000), "COUNT", 50), ("DBSIZE",), ("RANDOMKEY",)],
        lambda: [("INFO",), ("CLIENT", "LIST"), ("MEMORY", "STATS"), ("SLOWLOG", "GET")],
        lambda: [("SELECT", r.randrange(3)), ("SET", key, 1), ("SWAPDB", 1, 2), ("SELECT", 0)],
        lambda: [("CONFIG", "SET", "maxmemory", r.choice(["16mb", "20mb", "20mb"]))],
        lambda: [("CONFIG", "SET", "maxmemory-policy", r.choice(["allkeys-auto", "allkeys-lru", "allkeys-lfu", "volatile-ttl"]))],
        lambda: [("HELLO", r.choice([2, 3])), ("CLIENT", "TRACKING", r.choice(["ON", "OFF"])), ("GET", key)],
    ])()


def rare(r, connection):
    """What concerns all of the store."""
    connection.ask(*r.choice([
        [("BGSAVE",)],
        [("BGSAVE",)],
        # Not too often: between two of them memory has to be full.
        [("FLUSHALL", r.choice(["ASYNC", "SYNC"]))] if r.random() < 0.1 else [("DBSIZE",)],
        [("CONFIG", "SET", "maxmemory", "8mb")],
        [("CONFIG", "SET", "maxmemory", "20mb")],
        [("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH"), ("MEMORY", "PURGE")],
        [("ACL", "SETUSER", "u", "on", "nopass", "~*", "+@all"), ("AUTH", "u", "x"), ("ACL", "DELUSER", "v"),
         ("AUTH", "default", "")],
        [("CLIENT", "PAUSE", 20, "WRITE"), ("KEYS", "n:*")],
    ]))


def subscribe(port, end, r):
    """Somebody who listens, sometimes slowly, and goes at some time."""
    listener = Connection(port)
    listener.socket.sendall(encode("SUBSCRIBE", "c:0", "c:1") + encode("PSUBSCRIBE", "c:*"))
    listener.socket.settimeout(0.2)
    until = min(end, time.time() + r.uniform(1, 20))
    while time.time() < until:
        try:
            if not listener.socket.recv(1 << 16):
                break
        except TimeoutError:
            pass
    listener.socket.close()


def client(port, seconds, seed, done):
    r, end, sent = random.Random(seed), time.time() + seconds, 0
    connections = [Connection(port) for _ in range(CONNECTIONS)]
    next_rare = time.time() + r.uniform(2, 6)
    while time.time() < end:
        for connection in connections:
            commands, kinds = [], [strings, collections, together, big]
            for _ in range(r.choice([1, 3, 16, 40])):
                kind = r.choices(kinds, [60, 25, 13, 2][:len(kinds)])[0]
                commands += [encode(*command) for command in kind(r)]
                if kind is big:
                    # One: nothing is read while it is sent, and who leaves much unread is not served.
                    kinds = kinds[:3]
            connection.send(commands)
            sent += len(commands)
        for i, connection in enumerate(connections):
            connection.receive()
            if r.random() < 0.01:
                # Cut off in the middle of a command and of its answers.
                connection.socket.sendall(encode("MGET", *["big:1"] * 5) + encode("SET", "k", "v" * 50)[:-9])
                connection.socket.close()
                connections[i] = Connection(port)
        if time.time() > next_rare:
            rare(r, connections[0])
            next_rare = time.time() + r.uniform(2, 6)
    with done.get_lock():
        done.value += sent


def listen(port, seconds, seed):
    r, end = random.Random(seed), time.time() + seconds
    while time.time() < end:
        subscribe(port, end, r)


def information(connection):
    connection.socket.sendall(encode("INFO", "all"))
    text = connection.socket.recv(1 << 20)
    head = text.partition(b"\r\n")[0]
    while len(text) < len(head) + 4 + int(head[1:]):
        text += connection.socket.recv(1 << 20)
    return text.decode(errors="replace")


def main():
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    Connection(port).ask(("PING",))
    done = multiprocessing.Value("q", 0)
    work = [multiprocessing.Process(target=client, args=(port, seconds, seed * 100 + i, done)) for i in range(PROCESSES)]
    work += [multiprocessing.Process(target=listen, args=(port, seconds, seed * 100 + 50 + i)) for i in range(2)]
    for process in work:
        process.start()
    for process in work:
        process.join()
    failed = any(process.exitcode for process in work)
    print(f"{done.value} commands in {seconds:.0f} s, seed {seed}", flush=True)
    last = Connection(port)
    text = information(last)
    wanted = ("used_memory:", "evicted_keys:", "expired_keys:", "total_connections_received:", "rdb_saves:")
    print(*[line for line in text.splitlines() if line.startswith(wanted)], sep="\n", flush=True)
    last.ask(("FLUSHALL", "SYNC"))
    # What others might still read is freed a little later.
    for _ in range(50):
        last.ask(("PING",))
        time.sleep(0.1)
    last.socket.sendall(encode("SHUTDOWN", "NOSAVE"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
