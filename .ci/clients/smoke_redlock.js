// redlock and its maintained successor: every operation is a script of all the keys of a lock.
'use strict';
const assert = require('assert');
const { from, port, version } = require('./packages.js');
const { Redlock, ExecutionError } = from('@sesamecare-oss/redlock');
const First = from('redlock');
const Redis = from('ioredis');

const DB = 14;
const client = (db = DB) => new Redis({ port, db, maxRetriesPerRequest: 1 });
const impatient = { retryCount: 0, db: DB };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function acquireExtendRelease(io) {
  const [a, b] = [new Redlock([io], impatient), new Redlock([client()], impatient)];
  let lock = await a.acquire(['{r}1', '{r}2', 'elsewhere'], 20000);
  assert.equal(await io.exists('{r}1', '{r}2', 'elsewhere'), 3);
  assert.equal(await io.get('{r}1'), lock.value);
  assert.equal(await io.get('elsewhere'), lock.value);
  assert.ok((await io.pttl('{r}2')) > 10000 && (await io.pttl('{r}2')) <= 20000);
  // One of its keys is enough to refuse the whole of another, which leaves nothing behind.
  await assert.rejects(b.acquire(['free', 'elsewhere'], 1000), ExecutionError);
  assert.equal(await io.exists('free'), 0);
  lock = await lock.extend(60000);
  assert.ok((await io.pttl('elsewhere')) > 50000);
  await lock.release();
  assert.equal(await io.dbsize(), 0);
  // What another took over is neither extended nor released.
  const lost = await a.acquire(['lost'], 20000);
  await io.set('lost', 'other');
  await assert.rejects(lost.extend(1000), ExecutionError);
  await assert.rejects(lost.release(), ExecutionError);
  assert.equal(await io.get('lost'), 'other');
  await io.flushdb();
  // Nobody releases it: it expires, and the waiting one gets it.
  await a.acquire(['expires'], 100);
  const next = await new Redlock([client()], { retryCount: 200, retryDelay: 20, retryJitter: 5, db: DB })
    .acquire(['expires'], 20000);
  assert.equal(await io.get('expires'), next.value);
  await next.release();
  await b.quit();
}

// Ten at once read, wait and write a counter under one lock.
async function exclusion(io) {
  const patient = { retryCount: 2000, retryDelay: 5, retryJitter: 5, automaticExtensionThreshold: 500, db: DB };
  await io.set('counter', 0);
  const clients = Array.from({ length: 10 }, () => client());
  await Promise.all(clients.map(async (c) => {
    const redlock = new Redlock([c], patient);
    for (let i = 0; i < 5; i++) {
      await redlock.using(['mutex', 'second'], 10000, async (signal) => {
        const n = Number(await c.get('counter'));
        await sleep(1);
        await c.set('counter', n + 1);
        assert.equal(signal.aborted, false);
      });
    }
    await c.quit();
  }));
  assert.equal(await io.get('counter'), '50');
  // It extends itself while the routine runs.
  const short = new Redlock([io], { ...impatient, automaticExtensionThreshold: 200 });
  await short.using(['long'], 400, async (signal, context) => {
    const end = Date.now() + 20000;
    while (context.extensions < 2 && !signal.aborted && Date.now() < end) await sleep(10);
    assert.equal(signal.aborted, false);
    assert.ok(context.extensions >= 2);
    assert.equal(await io.exists('long'), 1);
  });
  assert.equal(await io.exists('long'), 0);
}

// The first redlock, with three databases in the place of three servers: two are enough.
async function quorum() {
  const nodes = [client(DB), client(DB - 1), client(DB - 2)];
  await Promise.all(nodes.map((node) => node.flushdb()));
  const redlock = new First(nodes, { retryCount: 0 });
  redlock.on('clientError', (e) => { throw e; });
  const values = (key) => Promise.all(nodes.map((node) => node.get(key)));
  await nodes[0].set('one', 'taken');
  let lock = await redlock.lock('one', 20000);
  assert.deepEqual(await values('one'), ['taken', lock.value, lock.value]);
  await assert.rejects(redlock.lock('one', 1000), First.LockError);
  lock = await lock.extend(60000);
  assert.ok((await nodes[2].pttl('one')) > 50000);
  await lock.unlock();
  assert.deepEqual(await values('one'), ['taken', null, null]);
  await nodes[1].set('one', 'taken');
  await assert.rejects(redlock.lock('one', 1000), First.LockError);
  assert.deepEqual(await values('one'), ['taken', 'taken', null]);
  const many = await redlock.lock(['x', 'y', 'z'], 20000);
  assert.deepEqual(await values('z'), Array(3).fill(many.value));
  await many.unlock();
  assert.deepEqual(await Promise.all(nodes.map((node) => node.dbsize())), [1, 1, 0]);
  await Promise.all(nodes.map((node) => node.flushdb()));
  await redlock.quit();
}

(async () => {
  const io = client();
  await io.flushdb();
  await acquireExtendRelease(io);
  await exclusion(io);
  await io.flushdb();
  await quorum();
  await io.quit();
  console.log(`redlock ${version('redlock')} and ${version('@sesamecare-oss/redlock')}: ok`);
  process.exit(0);
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
