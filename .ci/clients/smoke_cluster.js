// ioredis and node-redis as clients of a cluster, against a node that is one by itself.
'use strict';
const assert = require('assert');
const { from, version, port } = require('./packages.js');

const keys = Array.from({ length: 200 }, (_, n) => `key:${n}`);
const host = '127.0.0.1';

async function ioredis() {
  const { Cluster } = from('ioredis');
  const c = new Cluster([{ host, port }]);
  await Promise.all(keys.map((key, n) => c.set(key, n)));
  assert.deepStrictEqual(await Promise.all(keys.map((key) => c.get(key))), keys.map((_, n) => `${n}`));
  assert.strictEqual(c.nodes('master').length, 1);
  assert.strictEqual(c.nodes('slave').length, 0);
  const pipeline = c.pipeline();
  for (const key of keys) pipeline.incr(key).get(key);
  const replies = await pipeline.exec();
  assert.ok(replies.every(([error]) => error === null));
  assert.deepStrictEqual(replies[5][1], '3');
  const multi = await c.multi().set('{a}1', 1).incr('{a}1').exec();
  assert.deepStrictEqual(multi.map(([, value]) => value), ['OK', 2]);
  assert.strictEqual(await c.eval('return redis.call("get", KEYS[1])', 1, 'key:7'), '8');
  await assert.rejects(c.mget('foo', 'bar'), /hash to the same slot|CROSSSLOT/);

  // The node that a cluster client subscribes on is any.
  const subscriber = new Cluster([{ host, port }], { shardedSubscribers: true });
  await new Promise((resolve) => subscriber.once('ready', resolve));
  const message = new Promise((resolve) => subscriber.on('message', (...words) => resolve(words)));
  await subscriber.subscribe('news');
  await c.publish('news', 'hello');
  assert.deepStrictEqual(await message, ['news', 'hello']);
  const sharded = new Promise((resolve) => subscriber.on('smessage', (channel, text) => resolve([channel, text])));
  await subscriber.ssubscribe('news');
  await c.spublish('news', 'again');
  assert.deepStrictEqual(await sharded, ['news', 'again']);
  await Promise.all(keys.map((key) => c.del(key)));
  await Promise.all([subscriber.quit(), c.quit()]);
  console.log(`ioredis ${version('ioredis')}, cluster: ok`);
}

async function nodeRedis() {
  const { createCluster } = from('redis');
  for (const RESP of [2, 3]) {
    const c = createCluster({ rootNodes: [{ url: `redis://${host}:${port}` }], defaults: { RESP } });
    await c.connect();
    await Promise.all(keys.map((key, n) => c.set(key, `${n}`)));
    assert.strictEqual(await c.get('key:7'), '7');
    assert.strictEqual(c.masters.length, 1);
    assert.deepStrictEqual(await c.multi().incr('key:7').get('key:7').exec(), [8, '8']);
    const got = new Promise((resolve) => { c.sSubscribe('news', (message) => resolve(message)).then(() => c.sPublish('news', 'hello')); });
    assert.strictEqual(await got, 'hello');
    await Promise.all(keys.map((key) => c.del(key)));
    await c.close();
  }
  console.log(`node-redis ${version('redis')}, cluster: ok`);
}

(async () => {
  await ioredis();
  await nodeRedis();
})().catch((error) => { console.error(error); process.exit(1); });
