"""limits (Flask-Limiter, slowapi): its three strategies, all of them scripts."""

import asyncio
import sys
import threading
import time

import redis
from limits import RateLimitItemPerHour, RateLimitItemPerSecond, __version__, parse
from limits.aio import strategies as aio_strategies
from limits.aio.storage import RedisStorage as AsyncRedisStorage
from limits.storage import storage_from_string
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)

PORT = int(sys.argv[1])
URL = f"redis://127.0.0.1:{PORT}/9"
STRATEGIES = (FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter)


def counts(storage, strategy):
    limiter = strategy(storage)
    limit = parse("10/hour")
    who = ("api", strategy.__name__)
    assert limiter.get_window_stats(limit, *who).remaining == 10
    assert [limiter.hit(limit, *who) for _ in range(4)] == [True] * 4
    assert limiter.get_window_stats(limit, *who).remaining == 6
    assert limiter.test(limit, *who, cost=6) is True and limiter.test(limit, *who, cost=7) is False
    assert limiter.hit(limit, *who, cost=6) is True
    assert limiter.hit(limit, *who) is False and limiter.test(limit, *who) is False
    stats = limiter.get_window_stats(limit, *who)
    # The reset time is of the client's clock; at its exact moment the sliding one says "now".
    assert stats.remaining == 0 and -10 < stats.reset_time - time.time() <= 3600, stats
    assert limiter.hit(limit, "api", "another") is True
    limiter.clear(limit, "api", "another")
    limiter.clear(limit, *who)
    assert limiter.get_window_stats(limit, *who).remaining == 10
    # More than the whole limit at once never goes through.
    assert limiter.hit(limit, *who, cost=11) is False
    limiter.clear(limit, *who)


def exact_under_contention(strategy):
    """Of 200 hits from four connections exactly 100 are let through."""
    limit = RateLimitItemPerHour(100)
    allowed = []

    def hit():
        limiter = strategy(storage_from_string(URL))
        allowed.append(sum(limiter.hit(limit, "shared", strategy.__name__) for _ in range(50)))

    threads = [threading.Thread(target=hit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == 4 and sum(allowed) == 100, (strategy, allowed)


def window_passes(storage, strategy):
    limiter = strategy(storage)
    limit = RateLimitItemPerSecond(2)
    assert limiter.hit(limit, "short", cost=2) is True
    until = time.monotonic() + 20
    while not limiter.hit(limit, "short"):
        assert time.monotonic() < until, "the window must pass"
        time.sleep(0.02)
    limiter.clear(limit, "short")


async def asynchronous():
    storage = AsyncRedisStorage(f"async+{URL}", implementation="redispy")
    limit = parse("5/hour")
    for strategy in STRATEGIES:
        limiter = getattr(aio_strategies, strategy.__name__)(storage)
        hits = await asyncio.gather(*(limiter.hit(limit, "async") for _ in range(9)))
        assert sorted(hits) == [False] * 4 + [True] * 5, hits
        assert (await limiter.get_window_stats(limit, "async")).remaining == 0
        await limiter.clear(limit, "async")
    await storage.bridge.get_connection().aclose()


client = redis.Redis(port=PORT, db=9)
client.flushdb()
storage = storage_from_string(URL)
assert storage.check() is True
for strategy in STRATEGIES:
    counts(storage, strategy)
    exact_under_contention(strategy)
    window_passes(storage, strategy)
asyncio.run(asynchronous())
# Its reset is a script that finds the keys itself: KEYS, then DEL of what it found.
client.set("not a limit", 1)
left = len(client.keys("LIMITS:*"))
assert left >= 3 and storage.reset() == left
assert client.keys() == [b"not a limit"]
client.flushdb()
print(f"limits {__version__}: ok")
