"""Django's own Redis cache backend, and django-redis with its locks, counters and patterns."""

import sys
import threading

import django
from django.conf import settings

PORT = int(sys.argv[1])
settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{PORT}/4",
            "KEY_PREFIX": "django",
        },
        "plain": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{PORT}/5",
            "KEY_PREFIX": "plain",
        },
    }
)
django.setup()

from django.core.cache import caches  # noqa: E402
from redis.exceptions import LockNotOwnedError  # noqa: E402

for name in ("default", "plain"):
    cache = caches[name]
    cache.clear()
    assert cache.get("a") is None and cache.get("a", "x") == "x"
    assert cache.add("a", {"n": [1, 2]}, timeout=60) is True
    assert cache.add("a", "other") is False
    assert cache.get("a") == {"n": [1, 2]}
    cache.set("n", 1, timeout=None)
    cache.set("u", "ü" * 5000, timeout=60)
    assert cache.get("u") == "ü" * 5000
    assert cache.get_many(["a", "n", "missing"]) == {"a": {"n": [1, 2]}, "n": 1}
    assert cache.touch("a", 100) is True and cache.touch("missing", 1) is False
    assert cache.get_or_set("computed", lambda: 42, 60) == 42
    assert cache.has_key("computed") and "computed" in cache
    assert cache.delete("computed") is True and cache.delete("computed") is False
    cache.set("gone", 1, timeout=0)
    assert cache.get("gone") is None
    assert cache.delete_many(["a", "u"]) in (None, 2)
    if name == "default":
        assert cache.incr("n", 4) == 5 and cache.decr("n", 2) == 3
    else:
        assert cache.ttl("n") is None
        assert cache.expire("n", 100) and 0 < cache.ttl("n") <= 100
        assert cache.pexpire("n", 50000) and 0 < cache.pttl("n") <= 50000
        assert cache.persist("n") and cache.ttl("n") is None
        assert cache.keys("*") == ["n"] and list(cache.iter_keys("n*")) == ["n"]
        assert cache.delete("n") is True
    # Transactions: Django itself and django-redis write many keys in one MULTI.
    assert cache.set_many({f"m{i}": i * i for i in range(50)}, timeout=60) in ([], None)
    assert cache.get_many([f"m{i}" for i in range(60)]) == {f"m{i}": i * i for i in range(50)}
    cache.clear()
    assert cache.get("m1") is None


def fails(error, call):
    try:
        call()
    except error as e:
        return str(e)
    raise AssertionError(f"{call} must fail with {error}")


def counters(cache):
    """Scripts: INCRBY only of what exists, and beyond 64 bits a read and a write."""
    cache.set("hits", 10, timeout=100)
    assert cache.incr("hits") == 11 and cache.incr("hits", 5) == 16 and cache.decr("hits", 20) == -4
    assert 90 < cache.ttl("hits") <= 100
    assert "not found" in fails(ValueError, lambda: cache.incr("missing"))
    assert cache.incr("missing", 3, ignore_key_check=True) == 3 and cache.get("missing") == 3
    cache.set("huge", 2**63 - 1, timeout=100)
    # The script fails with an overflow; the client then counts by itself and keeps the TTL.
    assert cache.incr("huge", 1) == 2**63 and 90 < cache.ttl("huge") <= 100
    assert cache.incr_version("hits") == 2
    assert cache.get("hits") is None and cache.get("hits", version=2) == -4

    def count():
        for _ in range(100):
            cache.incr("missing")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.get("missing") == 3 + 4 * 100


def patterns(cache):
    cache.clear()
    for i in range(200):
        cache.set(f"user:{i}", i, timeout=None)
    cache.set("other", "x", timeout=None)
    cache.set("user:1", "v2", version=2)
    assert sorted(cache.keys("user:1?")) == [f"user:{i}" for i in range(10, 20)]
    assert sorted(cache.keys("user:[12]")) == ["user:1", "user:2"]
    assert len(set(cache.iter_keys("user:*", itersize=7))) == 200
    assert cache.delete_pattern("user:1*") == 111
    assert cache.delete_pattern("user:1*") == 0
    assert cache.delete_pattern("user:*", itersize=10) == 89
    assert cache.keys("*") == ["other"] and cache.get("user:1", version=2) == "v2"


def locks(cache):
    """redis-py's lock: SET NX PX takes it, scripts extend and release it."""
    lock = cache.lock("job", timeout=20)
    other = cache.lock("job", timeout=20, sleep=0.01, blocking_timeout=0.1)
    assert lock.acquire() is True and lock.locked() and lock.owned() and not other.owned()
    assert other.acquire(blocking=False) is False and other.acquire() is False
    assert lock.extend(40) is True and 50 < cache.ttl("job") <= 60
    assert lock.extend(15, replace_ttl=True) is True and 10 < cache.ttl("job") <= 15
    assert lock.reacquire() is True and 15 < cache.ttl("job") <= 20

    # One that waits gets it when it is released.
    waiting = cache.lock("job", timeout=20, sleep=0.01, blocking_timeout=20, thread_local=False)
    got = []
    thread = threading.Thread(target=lambda: got.append(waiting.acquire()))
    thread.start()
    lock.release()
    thread.join()
    assert got == [True] and waiting.owned() and not lock.owned()

    # An owner that lost it can neither extend nor release it.
    cache.delete("job")
    assert other.acquire() is True
    fails(LockNotOwnedError, lambda: waiting.extend(5))
    fails(LockNotOwnedError, waiting.reacquire)
    fails(LockNotOwnedError, waiting.release)
    assert other.owned() and other.release() is None and not other.locked()

    # One that is never released ends by itself.
    assert cache.lock("job", timeout=0.05).acquire() is True
    with cache.lock("job", timeout=20, sleep=0.01, blocking_timeout=20) as next_owner:
        assert next_owner.owned()
    assert not cache.has_key("job")


plain = caches["plain"]
counters(plain)
patterns(plain)
locks(plain)
plain.clear()
plain.close()
print(f"Django {django.__version__} cache and django-redis: ok")
