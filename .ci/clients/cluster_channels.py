"""Channels of a cluster with redis-py: cluster_channels.py PORT...

Whoever subscribes through one node hears what is published through another one; a sharded channel is
found by those who subscribe and those who publish.
"""

import sys
import time

import redis
from redis.cluster import ClusterNode, RedisCluster

PORTS = [int(port) for port in sys.argv[1:]]
CHANNELS = [f"news:{n}" for n in range(30)]


def client(first, protocol):
    nodes = [ClusterNode("127.0.0.1", port) for port in PORTS[first:] + PORTS[:first]]
    return RedisCluster(startup_nodes=nodes, protocol=protocol)


def hear(take, wanted):
    """Messages until all of these have come."""
    heard, deadline = [], time.time() + 20
    while len(heard) < len(wanted) and time.time() < deadline:
        message = take()
        if message and message["type"].endswith("message"):
            heard.append(message["data"].decode())
    assert sorted(heard) == sorted(wanted), (heard, wanted)


for protocol in (2, 3):
    publisher = client(0, protocol)
    nodes = publisher.get_primaries()
    assert len(nodes) == len(PORTS), nodes
    # Ordinary ones: each node has a subscriber, each publishes.
    subscribers = [publisher.pubsub(node=node) for node in nodes]
    for p in subscribers:
        p.subscribe("news")
        assert p.get_message(timeout=5)["type"] == "subscribe"
    words = [f"from {node.port}" for node in nodes]
    for node, word in zip(nodes, words):
        publisher.execute_command("PUBLISH", "news", word, target_nodes=node)
    for p in subscribers:
        hear(lambda: p.get_message(timeout=1), words)
        p.close()
    # Sharded ones, all over the slots.
    sharded = client(1, protocol).pubsub()
    sharded.ssubscribe(*CHANNELS)
    for channel in CHANNELS:
        deadline = time.time() + 20
        while publisher.spublish(channel, channel) != 1:
            assert time.time() < deadline, channel
            time.sleep(0.05)
    hear(lambda: sharded.get_sharded_message(timeout=0.2), CHANNELS)
    sharded.close()
    publisher.close()
print(f"redis-py {redis.__version__}, channels of a cluster: ok")
