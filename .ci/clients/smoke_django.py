"""Django's own Redis cache backend, and django-redis: plain operations (no MULTI, no scripts)."""

import sys

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
    cache.clear()
    cache.close()
print(f"Django {django.__version__} cache and django-redis: ok")
