"""redis-py's RedisCluster, blocking and asyncio, against a node that is a cluster by itself."""

import asyncio
import sys
import time

import redis
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import ClusterNode, RedisCluster

PORT = int(sys.argv[1])
KEYS = 200


def names():
    return [f"key:{n}" for n in range(KEYS)]


def topology(c):
    node = c.get_primaries()[0]
    slots = c.cluster_slots()
    assert list(slots) == [(0, 16383)], slots
    assert slots[(0, 16383)]["primary"][:2] == ("127.0.0.1", PORT), slots
    nodes = c.cluster_nodes()
    (line,) = nodes.values()
    assert "myself" in line["flags"] and line["slots"] == [["0", "16383"]], nodes
    info = c.cluster_info(target_nodes=node)
    assert info["cluster_state"] == "ok" and info["cluster_known_nodes"] == "1", info
    assert c.cluster_keyslot("foo{hash_tag}") == 2515
    (shard,) = c.cluster_shards()
    assert len(c.cluster_myid(node)) == 40 and len(c.cluster_myshardid(node)) == 40, shard
    assert c.cluster_links(node) == []
    assert c.info("cluster")["cluster_enabled"] == 1
    assert c.readonly() and c.readwrite()


def everyday(c):
    c.flushall()
    for n, name in enumerate(names()):
        assert c.set(name, n)
    assert [int(c.get(name)) for name in names()] == list(range(KEYS))
    assert c.dbsize() == KEYS and len(c.keys("key:*")) == KEYS
    assert sorted(c.scan_iter("key:*")) == sorted(name.encode() for name in names())
    assert c.mset_nonatomic({name: 1 for name in names()})
    assert c.mget_nonatomic(*names()) == [b"1"] * KEYS
    with c.pipeline() as p:
        for name in names():
            p.incr(name).get(name)
        assert p.execute()[:4] == [2, b"2", 2, b"2"]
    slot = c.cluster_keyslot("key:7")
    assert c.cluster_countkeysinslot(slot) >= 1
    # Texts in RESP2, bytes in RESP3.
    assert {"key:7", b"key:7"} & set(c.cluster_get_keys_in_slot(slot, 10))
    try:
        c.execute_command("MGET", "foo", "bar", target_nodes=c.get_primaries()[0])
        raise AssertionError("keys of several slots")
    except redis.ResponseError as error:
        assert "hash to the same slot" in str(error), error
    assert c.eval("return redis.call('get', KEYS[1])", 1, "key:7") == b"2"
    assert c.delete(*names()) == KEYS


def channels(c):
    for subscribe, publish in (("subscribe", c.publish), ("ssubscribe", c.spublish)):
        p = c.pubsub()
        getattr(p, subscribe)("news")
        take = p.get_message if subscribe == "subscribe" else p.get_sharded_message
        assert take(timeout=5)["type"] == subscribe
        assert publish("news", "hello") == 1
        deadline = time.time() + 5
        message = None
        while message is None and time.time() < deadline:
            message = take(timeout=1)
        assert message["data"] == b"hello", message
        p.close()


async def asynchronous(protocol):
    c = AsyncRedisCluster(host="127.0.0.1", port=PORT, protocol=protocol)
    # Fewer at a time than it opens connections: with more it sends some commands twice.
    some = names()[:20]
    for _ in range(10):
        assert all(await asyncio.gather(*(c.set(name, n) for n, name in enumerate(some))))
        assert await c.get("key:7") == b"7"
        assert sum(await asyncio.gather(*(c.delete(name) for name in some))) == len(some)
    await c.aclose()


for protocol in (2, 3):
    cluster = RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", PORT)], protocol=protocol)
    topology(cluster)
    everyday(cluster)
    channels(cluster)
    cluster.close()
    asyncio.run(asynchronous(protocol))
print(f"redis-py {redis.__version__}, cluster: ok")
