// ioredis, node-redis, keyv with @keyv/redis and cache-manager.
'use strict';
const assert = require('assert');
const { from, port, version } = require('./packages.js');
const { runAll } = require('./commands.js');
const reference = process.argv.includes('--reference');

async function ioredis() {
  const Redis = from('ioredis');
  for (const protocol of [2, 3]) {
    const c = new Redis({ port, protocol, db: 6, connectionName: 'io', maxRetriesPerRequest: 1 });
    await c.flushdb();
    assert.equal(await c.set('a', 1, 'EX', 100, 'NX'), 'OK');
    assert.equal(await c.set('a', 1, 'NX'), null);
    assert.equal(await c.incrby('a', 4), 5);
    assert.deepEqual(await c.mget('a', 'b'), ['5', null]);
    assert.ok((await c.ttl('a')) > 90);
    assert.deepEqual(await c.getBuffer('a'), Buffer.from('5'));
    assert.equal(await c.client('GETNAME'), 'io');
    const pipeline = c.pipeline();
    for (let i = 0; i < 1000; i++) pipeline.set(`p${i}`, i).get(`p${i}`);
    const replies = await pipeline.exec();
    assert.ok(replies.every(([e]) => e === null) && replies[1999][1] === '999');
    let seen = 0;
    for await (const keys of c.scanStream({ match: 'p*', count: 100 })) seen += keys.length;
    assert.equal(seen, 1000);
    await assert.rejects(c.set('t', 'x').then(() => c.incr('t')), /not an integer/);
    const subscriber = new Redis({ port, protocol, maxRetriesPerRequest: 1 });
    const next = (event) => new Promise((done) => subscriber.once(event, (...args) => done(args)));
    assert.equal(await subscriber.subscribe('ch', 'other'), 2);
    assert.equal(await subscriber.psubscribe('c*'), 3);
    const both = Promise.all([next('message'), next('pmessage')]);
    assert.equal(await c.publish('ch', 'hello'), 2);
    assert.deepEqual(await both, [['ch', 'hello'], ['c*', 'ch', 'hello']]);
    assert.equal(await subscriber.unsubscribe('ch', 'other'), 1);
    assert.equal(await c.publish('other', 'hello'), 0);
    subscriber.disconnect();
    await c.flushdb();
    await c.select(0);
    await runAll((args) => c.call(...args), `ioredis RESP${protocol}`, reference);
    assert.equal(await c.quit(), 'OK');
  }
  console.log(`ioredis ${version('ioredis')}: ok`);
}

async function nodeRedis() {
  const { createClient } = from('redis');
  for (const RESP of [2, 3]) {
    const c = createClient({ url: `redis://127.0.0.1:${port}/7`, RESP, name: 'nr' });
    c.on('error', (e) => { throw e; });
    await c.connect();
    await c.flushDb();
    assert.equal(await c.set('a', '1', { expiration: { type: 'EX', value: 100 }, condition: 'NX' }), 'OK');
    assert.equal(await c.set('a', '1', { condition: 'NX' }), null);
    assert.equal(await c.incrBy('a', 4), 5);
    assert.deepEqual(await c.mGet(['a', 'b']), ['5', null]);
    assert.equal(await c.clientGetName(), 'nr');
    assert.ok((await c.ttl('a')) > 90);
    assert.equal(await c.expire('a', 50, 'LT'), 1);
    const all = [];
    for (let i = 0; i < 1000; i++) all.push(c.set(`p${i}`, String(i)), c.get(`p${i}`));
    assert.equal((await Promise.all(all))[1999], '999');
    let seen = 0;
    for await (const keys of c.scanIterator({ MATCH: 'p*', COUNT: 100 })) seen += keys.length;
    assert.equal(seen, 1000);
    assert.ok((await c.info('server')).includes('redis_version'));
    assert.ok(await c.configGet('maxmemory'));
    await assert.rejects(c.incr('p1').then(() => c.set('t', 'x')).then(() => c.incr('t')), /not an integer/);
    const subscriber = await c.duplicate().connect();
    const heard = new Promise((done) => {
      const got = [];
      const hear = (message, channel) => got.push(`${channel} ${message}`) === 3 && done(got.sort());
      subscriber.subscribe('ch', hear)
        .then(() => subscriber.pSubscribe('c*', hear))
        .then(() => subscriber.sSubscribe('shard', hear))
        .then(() => c.publish('ch', 'hello'))
        .then((receivers) => assert.equal(receivers, 2))
        .then(() => c.sPublish('shard', 'hi'));
    });
    assert.deepEqual(await heard, ['ch hello', 'ch hello', 'shard hi']);
    await subscriber.unsubscribe();
    await subscriber.pUnsubscribe();
    await subscriber.sUnsubscribe();
    assert.equal(await c.publish('ch', 'x'), 0);
    await subscriber.close();
    await c.flushDb();
    await c.select(0);
    await runAll((args) => c.sendCommand(args), `node-redis RESP${RESP}`, reference);
    await c.close();
  }
  console.log(`node-redis ${version('redis')}: ok`);
}

async function stores() {
  const keyvModule = await import(from.resolve('keyv')).catch(() => from('keyv'));
  const Keyv = keyvModule.Keyv ?? keyvModule.default;
  const storeModule = from('@keyv/redis');
  const KeyvRedis = storeModule.default ?? storeModule;
  const keyv = new Keyv(new KeyvRedis(`redis://127.0.0.1:${port}/8`), { namespace: 'kv' });
  keyv.on('error', (e) => { throw e; });
  await keyv.clear();
  assert.equal(await keyv.set('a', { n: 1 }, 60000), true);
  assert.deepEqual(await keyv.get('a'), { n: 1 });
  await keyv.set('b', 'x');
  assert.deepEqual(await keyv.get(['a', 'b', 'c']), [{ n: 1 }, 'x', undefined]);
  assert.equal(await keyv.has('a'), true);
  assert.equal(await keyv.delete('a'), true);
  assert.equal(await keyv.get('a'), undefined);
  await keyv.clear();
  assert.equal(await keyv.get('b'), undefined);
  console.log(`keyv ${version('keyv')} with @keyv/redis ${version('@keyv/redis')}: ok`);

  const { createCache } = from('cache-manager');
  const cache = createCache({ stores: [keyv], ttl: 60000 });
  await cache.set('x', { deep: [1, 2] });
  assert.deepEqual(await cache.get('x'), { deep: [1, 2] });
  let calls = 0;
  const compute = () => { calls += 1; return 'value'; };
  assert.equal(await cache.wrap('w', compute), 'value');
  assert.equal(await cache.wrap('w', compute), 'value');
  assert.equal(calls, 1);
  assert.deepEqual(await cache.mget(['x', 'w']), [{ deep: [1, 2] }, 'value']);
  await cache.mset([{ key: 'm1', value: 1, ttl: 50000 }, { key: 'm2', value: { n: 2 } }]);
  assert.deepEqual(await cache.mget(['m1', 'm2', 'none']), [1, { n: 2 }, undefined]);
  const expires = (await cache.ttl('m1')) - Date.now();
  assert.ok(expires > 40000 && expires <= 50000, `expires in ${expires} ms`);
  await cache.mdel(['m1', 'm2']);
  assert.deepEqual(await cache.mget(['m1', 'm2']), [undefined, undefined]);
  // Many at once compute once; what is nearly over is computed anew in the background.
  const all = await Promise.all(Array.from({ length: 20 }, () => cache.wrap('together', compute)));
  assert.ok(all.every((value) => value === 'value') && calls === 2);
  const refreshed = new Promise((done) => cache.on('refresh', ({ value }) => done(value)));
  await cache.set('old', 'before', 30000);
  assert.equal(await cache.wrap('old', () => 'after', { ttl: 60000, refreshThreshold: 40000 }), 'before');
  assert.equal(await refreshed, 'after');
  assert.equal(await cache.get('old'), 'after');
  await cache.set('short', 1, 20);
  for (const end = Date.now() + 10000; (await cache.get('short')) !== undefined;) assert.ok(Date.now() < end);
  await cache.del('x');
  assert.ok((await cache.get('x')) == null);
  await cache.clear();
  assert.ok((await cache.get('w')) == null);
  await keyv.disconnect();
  console.log(`cache-manager ${version('cache-manager')}: ok`);
}

// node-redis keeps what it reads until the server says that it has changed.
async function clientSideCache() {
  const { createClient, BasicClientSideCache } = from('redis');
  const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0 });
  const url = `redis://127.0.0.1:${port}/7`;
  const cached = createClient({ url, RESP: 3, clientSideCache: cache });
  const other = createClient({ url });
  await Promise.all([cached.connect(), other.connect()]);
  await other.flushDb();
  await other.mSet({ a: '1', b: '2' });
  assert.equal(await cached.get('a'), '1');
  assert.equal(await cached.get('a'), '1');
  assert.ok(cache.stats().hitCount >= 1);
  const becomes = async (key, wanted) => {
    const end = Date.now() + 10000;
    while ((await cached.get(key)) !== wanted) {
      assert.ok(Date.now() < end, `${key} does not become ${wanted}`);
      await new Promise((done) => setTimeout(done, 1));
    }
  };
  await other.set('a', '3');
  await becomes('a', '3');
  assert.equal(await cached.get('b'), '2');
  await other.set('b', 'x', { PX: 20 });
  await becomes('b', null);
  await other.flushDb();
  await becomes('a', null);
  await Promise.all([cached.close(), other.close()]);
  console.log(`node-redis ${version('redis')} with its client-side cache: ok`);
}

(async () => {
  await ioredis();
  await nodeRedis();
  await clientSideCache();
  await stores();
  process.exit(0);
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
