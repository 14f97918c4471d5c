"""redis-py: RESP2, RESP3 and asyncio, the whole command list and its own methods."""

import asyncio
import sys
import time

import redis
import redis.asyncio

from commands import check, read

PORT = int(sys.argv[1])
REFERENCE = "--reference" in sys.argv


def commands(protocol):
    client = redis.Redis(port=PORT, protocol=protocol, decode_responses=True)
    client.response_callbacks.clear()
    with client.client() as one:
        one.response_callbacks.clear()
        for line in read(REFERENCE):
            try:
                reply = one.execute_command(*line.args)
            except redis.ResponseError as e:
                reply = e
            check(line, reply, f"redis-py RESP{protocol}")
    client.close()


def methods(protocol):
    c = redis.Redis(
        port=PORT, protocol=protocol, decode_responses=True, client_name=f"py{protocol}", db=2
    )
    assert c.ping() is True
    assert c.client_getname() == f"py{protocol}"
    c.flushdb()
    assert c.set("a", 1, ex=100, nx=True) is True
    assert c.set("a", 2, nx=True) is None
    assert c.set("a", 2, get=True) == "1"
    assert c.incrby("a", 5) == 7
    assert c.incrbyfloat("a", 0.5) == 7.5
    assert c.get("nokey") is None
    assert c.mset({"x": "1", "y": "2"}) is True
    assert c.mget("x", "y", "z") == ["1", "2", None]
    assert c.getex("x", px=100000) == "1"
    assert 90 <= c.ttl("x") <= 100
    assert c.expire("y", 50, gt=True) in (0, False)
    assert c.persist("x") in (1, True)
    assert c.setrange("r", 2, "xx") == 4
    assert c.getrange("r", 2, 3) == "xx"
    assert c.append("r", "y") == 5
    assert c.setbit("b", 3, 1) == 0 and c.getbit("b", 3) == 1 and c.bitcount("b") == 1
    assert c.bitfield("b").set("u8", 0, 255).get("u8", 0).execute() == [16, 255]
    assert sorted(c.scan_iter("*")) == ["a", "b", "r", "x", "y"]
    assert sorted(c.keys("[xy]")) == ["x", "y"]
    assert c.rename("x", "w") is True and c.exists("x", "w") == 1
    dump = redis.Redis(port=PORT, protocol=protocol, db=2).dump("w")
    assert c.restore("w2", 0, dump) in (True, "OK", b"OK") and c.get("w2") == "1"
    assert c.copy("w", "w3") is True
    assert c.object("encoding", "w") == "int"
    assert c.delete("w", "w2", "w3") == 3
    assert c.dbsize() == 4
    assert c.info("server")["redis_version"]
    assert "maxmemory" in c.config_get("maxmemory")
    assert c.command_count() > 50
    assert c.client_id() > 0 and len(c.client_list()) >= 1
    assert isinstance(c.time(), tuple)
    assert c.memory_usage("a") > 0
    with c.pipeline(transaction=False) as p:
        for i in range(1000):
            p.set(f"p{i}", i)
            p.get(f"p{i}")
        replies = p.execute()
    assert replies[1::2] == [str(i) for i in range(1000)]
    try:
        c.incr("p1x") and c.set("t", "text") and c.incr("t")
        raise AssertionError("INCR of a text must fail")
    except redis.ResponseError as e:
        assert "not an integer" in str(e)
    if not REFERENCE:
        assert c.client_setinfo("LIB-NAME", "smoke") in (True, "OK")
    c.flushdb()
    c.close()


def messages(protocol):
    c = redis.Redis(port=PORT, protocol=protocol, decode_responses=True, db=4)
    with c.pubsub() as p:
        p.subscribe("a", "b")
        p.psubscribe("a*")
        p.ssubscribe("shard")

        def expect(*wanted):
            for kind, channel, data in wanted:
                m = p.get_message(timeout=10)
                got = (m["type"], m["channel"], m["data"])
                assert got == (kind, channel, data), got

        expect(("subscribe", "a", 1), ("subscribe", "b", 2), ("psubscribe", "a*", 3))
        expect(("ssubscribe", "shard", 1))
        assert c.publish("a", "one") == 2
        got = {p.get_message(timeout=10)["type"] for _ in range(2)}
        assert got == {"message", "pmessage"}, got
        assert c.execute_command("SPUBLISH", "shard", "two") == 1
        expect(("smessage", "shard", "two"))
        if protocol == 2:
            # In RESP3 the reply is that of any PING, and redis-py does not expect it here.
            p.ping("alive")
            expect(("pong", None, "alive"))
        assert c.pubsub_numsub("a", "c") == [("a", 1), ("c", 0)] and c.pubsub_numpat() == 1
        p.unsubscribe("b")
        expect(("unsubscribe", "b", 2))
        assert c.publish("b", "x") == 0
        c.config_set("notify-keyspace-events", "KEA")
        p.psubscribe("__keyspace@4__:*")
        expect(("psubscribe", "__keyspace@4__:*", 3))
        c.set("k", "v", ex=100)
        expect(("pmessage", "__keyspace@4__:k", "set"), ("pmessage", "__keyspace@4__:k", "expire"))
        c.config_set("notify-keyspace-events", "")
    c.flushdb()
    c.close()


async def coroutines(protocol):
    c = redis.asyncio.Redis(port=PORT, protocol=protocol, decode_responses=True, db=3)
    await c.flushdb()

    async def worker(n):
        for i in range(50):
            await c.set(f"{n}:{i}", i)
            assert await c.get(f"{n}:{i}") == str(i)
        await c.incrby("total", 50)

    await asyncio.gather(*(worker(n) for n in range(20)))
    assert await c.get("total") == "1000"
    assert len([k async for k in c.scan_iter("*", count=100)]) == 1001
    async with c.pipeline(transaction=False) as p:
        p.set("x", 1).get("x").delete("x")
        assert await p.execute() == [True, "1", 1]
    await c.flushdb(asynchronous=True)
    await c.aclose()


def client_side_cache():
    """redis-py keeps what it reads until the server says that it has changed."""
    from redis.cache import CacheConfig
    from redis.connection import CacheProxyConnection

    # It asks for 7.4, although nothing of what it uses has changed since 7.0.
    CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"
    other = redis.Redis(port=PORT, db=5)
    other.flushdb()
    cached = redis.Redis(
        port=PORT, protocol=3, db=5, decode_responses=True, cache_config=CacheConfig()
    )
    cache = cached.get_cache()
    other.mset({"a": "1", "b": "2"})
    assert cached.get("a") == "1" and cached.get("a") == "1" and cached.mget("a", "b") == ["1", "2"]
    assert cache.size == 2

    def becomes(key, wanted):
        # Nothing is read twice: what is in the cache is what the server says.
        deadline = time.monotonic() + 10
        while cached.get(key) != wanted:
            assert time.monotonic() < deadline, (key, wanted)

    other.set("a", "3")
    becomes("a", "3")
    other.set("b", "x", px=20)
    becomes("b", None)
    other.hset("h", "f", "v")
    assert cached.hgetall("h") == {"f": "v"}
    other.hset("h", "f", "w")
    deadline = time.monotonic() + 10
    while cached.hgetall("h") != {"f": "w"}:
        assert time.monotonic() < deadline
    other.flushdb()
    becomes("a", None)
    cached.close()
    other.close()


client_side_cache()
for version in (2, 3):
    commands(version)
    methods(version)
    messages(version)
    asyncio.run(coroutines(version))
print(f"redis-py {redis.__version__}: ok")
