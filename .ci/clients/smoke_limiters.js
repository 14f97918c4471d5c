// rate-limiter-flexible on ioredis and node-redis: scripts for windows, transactions for the rest.
'use strict';
const assert = require('assert');
const { from, port, version } = require('./packages.js');
const { RateLimiterRedis, BurstyRateLimiter, RateLimiterQueue, RateLimiterRes } = from('rate-limiter-flexible');

// What `consume` answers, let through or not.
const consume = (limiter, key, points) => limiter.consume(key, points).then(
  (answer) => ({ passed: true, answer }),
  (answer) => {
    if (!(answer instanceof RateLimiterRes)) throw answer;
    return { passed: false, answer };
  },
);

async function limits(storeClient, useRedisPackage) {
  const make = (options) => new RateLimiterRedis({ storeClient, useRedisPackage, ...options });
  const hourly = make({ keyPrefix: 'hourly', points: 5, duration: 3600 });
  assert.equal(await hourly.get('u'), null);
  for (let i = 1; i <= 5; i++) {
    const { passed, answer } = await consume(hourly, 'u');
    assert.ok(passed);
    assert.deepEqual([answer.consumedPoints, answer.remainingPoints, answer.isFirstInDuration], [i, 5 - i, i === 1]);
    assert.ok(answer.msBeforeNext > 3590000 && answer.msBeforeNext <= 3600000);
  }
  const refused = await consume(hourly, 'u', 2);
  assert.deepEqual([refused.passed, refused.answer.consumedPoints, refused.answer.remainingPoints], [false, 7, 0]);
  assert.equal((await hourly.get('u')).consumedPoints, 7);
  assert.equal((await hourly.penalty('u', 3)).consumedPoints, 10);
  assert.equal((await hourly.reward('u', 9)).consumedPoints, 1);
  assert.equal((await consume(hourly, 'u')).passed, true);
  assert.equal((await hourly.set('u', 5, 100)).consumedPoints, 5);
  assert.equal((await consume(hourly, 'u')).passed, false);
  assert.ok((await hourly.get('u')).msBeforeNext <= 100000);
  assert.equal(await hourly.delete('u'), true);
  assert.equal(await hourly.delete('u'), false);
  await hourly.block('u', 1000);
  assert.equal((await consume(hourly, 'u')).passed, false);
  // Without a duration nothing expires: INCRBY and PTTL in one transaction.
  const forever = make({ keyPrefix: 'forever', points: 2, duration: 0 });
  assert.equal((await consume(forever, 'u', 2)).answer.msBeforeNext, -1);
  assert.equal((await consume(forever, 'u')).passed, false);
  // Beyond the limit it blocks for longer than the window.
  const strict = make({ keyPrefix: 'strict', points: 1, duration: 100, blockDuration: 5000 });
  assert.equal((await consume(strict, 'u')).passed, true);
  const blocked = await consume(strict, 'u');
  assert.ok(!blocked.passed && blocked.answer.msBeforeNext > 4990000, blocked.answer.msBeforeNext);
  // At the same time from one connection, in pipelines: exactly as many as there are points.
  const shared = make({ keyPrefix: 'shared', points: 100, duration: 3600 });
  const all = await Promise.all(Array.from({ length: 250 }, () => consume(shared, 'u')));
  assert.equal(all.filter(({ passed }) => passed).length, 100);
  const bursty = new BurstyRateLimiter(
    make({ keyPrefix: 'steady', points: 2, duration: 3600 }), make({ keyPrefix: 'burst', points: 3, duration: 3600 }),
  );
  const passes = [];
  for (let i = 0; i < 7; i++) passes.push((await consume(bursty, 'u')).passed);
  assert.deepEqual(passes, [true, true, true, true, true, false, false]);
  // A window that passes lets the waiting ones through.
  const queue = new RateLimiterQueue(make({ keyPrefix: 'queue', points: 2, duration: 1 }));
  assert.deepEqual(await Promise.all([1, 2, 3, 4, 5].map(() => queue.removeTokens(1).then(() => true))), Array(5).fill(true));
}

(async () => {
  const Redis = from('ioredis');
  const { createClient } = from('redis');
  const io = new Redis({ port, db: 13, maxRetriesPerRequest: 1 });
  await io.flushdb();
  await limits(io, false);
  await io.flushdb();
  const node = createClient({ url: `redis://127.0.0.1:${port}/13` });
  node.on('error', (e) => { throw e; });
  await node.connect();
  await limits(node, true);
  await io.flushdb();
  await node.close();
  await io.quit();
  console.log(`rate-limiter-flexible ${version('rate-limiter-flexible')}: ok`);
  process.exit(0);
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
