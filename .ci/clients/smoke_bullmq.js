// BullMQ: queues with delayed, repeated, failed and prioritised jobs; all of it is scripts, blocking
// commands, streams and transactions.
'use strict';
const assert = require('assert');
const { from, port, version } = require('./packages.js');
const { Queue, Worker, QueueEvents, FlowProducer, UnrecoverableError } = from('bullmq');

// Options, from which it makes clients of ioredis; later a client of node-redis.
let connection = { host: '127.0.0.1', port, db: 12 };
let open = [];
const opened = (thing) => {
  thing.on('error', (e) => { throw e; });
  open.push(thing);
  return thing;
};
const queue = (name) => opened(new Queue(name, { connection }));
// The events of a queue come through a stream that is read with XREAD BLOCK, from its beginning: what
// happens while the reader only begins is not lost.
const listener = async (name) => {
  const events = opened(new QueueEvents(name, { connection, lastEventId: '0-0' }));
  await events.waitUntilReady();
  return events;
};
const worker = (name, work, options = {}) => opened(new Worker(name, work, { connection, ...options }));

async function until(what, condition) {
  const end = Date.now() + 30000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `${what} did not come about`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
const ALL = ['wait', 'active', 'completed', 'failed', 'delayed', 'prioritized', 'paused'];
const counts = async (q) => Object.fromEntries(
  Object.entries(await q.getJobCounts(...ALL)).filter(([, n]) => n > 0),
);

async function plainAndFailing() {
  const [q, events] = [queue('plain'), await listener('plain')];
  const heard = [];
  for (const name of ['completed', 'failed', 'progress', 'retries-exhausted']) {
    events.on(name, (args) => heard.push(`${name} ${args.jobId}`));
  }
  worker('plain', async (job) => {
    await job.log(`attempt ${job.attemptsMade}`);
    if (job.name === 'flaky' && job.attemptsMade < 2) throw new Error(`try ${job.attemptsMade}`);
    if (job.name === 'bad') throw new Error('never');
    if (job.name === 'hopeless') throw new UnrecoverableError('at once');
    await job.updateProgress(50);
    return { sum: job.data.a + job.data.b };
  });
  const plain = await q.add('plain', { a: 1, b: 2 }, { jobId: 'p' });
  assert.deepEqual(await plain.waitUntilFinished(events, 30000), { sum: 3 });
  const flaky = await q.add('flaky', { a: 2, b: 3 }, { jobId: 'f', attempts: 3, backoff: { type: 'exponential', delay: 30 } });
  assert.deepEqual(await flaky.waitUntilFinished(events, 30000), { sum: 5 });
  assert.equal((await q.getJob('f')).attemptsMade, 3);
  assert.deepEqual(await q.getJobLogs('f'), { logs: ['attempt 0', 'attempt 1', 'attempt 2'], count: 3 });
  const bad = await q.add('bad', {}, { jobId: 'b', attempts: 2 });
  await assert.rejects(bad.waitUntilFinished(events, 30000), /never/);
  const hopeless = await q.add('hopeless', {}, { jobId: 'h', attempts: 5 });
  await assert.rejects(hopeless.waitUntilFinished(events, 30000), /at once/);
  assert.deepEqual(await counts(q), { completed: 2, failed: 2 });
  const failed = await q.getFailed();
  assert.deepEqual(failed.map((j) => [j.id, j.attemptsMade, j.failedReason]).sort(), [['b', 2, 'never'], ['h', 1, 'at once']]);
  assert.ok(failed.every((j) => j.stacktrace.length === j.attemptsMade));
  assert.equal(await (await q.getJob('p')).getState(), 'completed');
  await until('the events', () => heard.length >= 7);
  assert.deepEqual(heard.sort(), [
    'completed f', 'completed p', 'failed b', 'failed h', 'progress f', 'progress p',
    'retries-exhausted b',
  ]);
  // A failed job is tried again on request, and a finished one can be removed.
  await (await q.getJob('b')).retry('failed');
  await until('the retry', async () => (await q.getJob('b')).attemptsMade === 3);
  await until('its end', async () => (await counts(q)).failed === 2);
  await (await q.getJob('h')).remove();
  assert.deepEqual((await q.clean(0, 100, 'completed')).sort(), ['f', 'p']);
  assert.deepEqual(await counts(q), { failed: 1 });
}

async function delayed() {
  const [q, events] = [queue('delayed'), await listener('delayed')];
  const order = [];
  const jobs = [];
  for (const [name, delay] of [['third', 700], ['first', 150], ['second', 400], ['far', 3600000]]) {
    jobs.push(await q.add(name, { added: Date.now(), delay }, { delay, jobId: name }));
  }
  assert.deepEqual(await counts(q), { delayed: 4 });
  worker('delayed', async (job) => {
    // Never before its time; how long after is the machine's affair.
    assert.ok(Date.now() >= job.data.added + (job.name === 'far' ? 0 : job.data.delay));
    order.push(job.name);
  });
  await Promise.all(jobs.slice(0, 3).map((job) => job.waitUntilFinished(events, 30000)));
  assert.deepEqual(order, ['first', 'second', 'third']);
  assert.deepEqual(await counts(q), { completed: 3, delayed: 1 });
  await (await q.getJob('far')).promote();
  await jobs[3].waitUntilFinished(events, 30000);
  assert.deepEqual(await counts(q), { completed: 4 });
}

async function repeated() {
  const q = queue('repeated');
  const seen = [];
  worker('repeated', async (job) => { seen.push(`${job.name} ${job.data.n}`); });
  await q.upsertJobScheduler('tick', { every: 100, limit: 4 }, { name: 'tick', data: { n: 1 } });
  await q.upsertJobScheduler('yearly', { pattern: '0 0 1 1 *' }, { name: 'yearly', data: { n: 2 } });
  assert.deepEqual((await q.getJobSchedulers()).map((s) => s.key).sort(), ['tick', 'yearly']);
  await until('the repetitions', () => seen.length >= 4);
  await until('their end', async () => (await counts(q)).completed === 4);
  assert.deepEqual(seen, Array(4).fill('tick 1'));
  assert.equal(await q.removeJobScheduler('yearly'), true);
  assert.equal(await q.removeJobScheduler('yearly'), false);
  assert.deepEqual(await counts(q), { completed: 4 });
}

async function prioritisedPausedAndDeduplicated() {
  const [q, events] = [queue('order'), await listener('order')];
  await q.pause();
  const priorities = [5, 1, 3, 0, 2, 4];
  const jobs = await q.addBulk(priorities.map((p) => ({ name: `p${p}`, data: {}, opts: { priority: p } })));
  assert.equal((await q.add('same', {}, { jobId: 'once' })).id, 'once');
  assert.equal((await q.add('same', {}, { jobId: 'once' })).id, 'once');
  const one = await q.add('d', {}, { deduplication: { id: 'dedup' } });
  assert.equal((await q.add('d', {}, { deduplication: { id: 'dedup' } })).id, one.id);
  assert.equal(await q.isPaused(), true);
  assert.equal(await q.count(), 8);
  const order = [];
  worker('order', async (job) => { order.push(job.name); });
  await q.resume();
  await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30000)));
  assert.deepEqual(order, ['p0', 'same', 'd', 'p1', 'p2', 'p3', 'p4', 'p5']);
}

async function flow() {
  const events = await listener('parent');
  const producer = opened(new FlowProducer({ connection }));
  worker('child', async (job) => job.data.n * 10, { concurrency: 4 });
  worker('parent', async (job) => Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0));
  const tree = await producer.add({
    name: 'sum', queueName: 'parent',
    children: [1, 2, 3, 4, 5].map((n) => ({ name: 'n', queueName: 'child', data: { n } })),
  });
  assert.equal(await tree.job.waitUntilFinished(events, 30000), 150);
}

// Every job is done once, whichever worker takes it.
async function competing() {
  const q = queue('many');
  const done = new Map();
  for (let i = 0; i < 3; i++) {
    worker('many', async (job) => { done.set(job.id, (done.get(job.id) ?? 0) + 1); }, { concurrency: 10 });
  }
  for (let batch = 0; batch < 5; batch++) {
    await q.addBulk(Array.from({ length: 100 }, (_, i) => ({ name: 'n', data: { batch, i } })));
  }
  await until('all jobs', async () => (await counts(q)).completed === 500);
  assert.deepEqual(await counts(q), { completed: 500 });
  assert.equal(done.size, 500);
  assert.ok([...done.values()].every((times) => times === 1));
  await q.obliterate({ force: true });
  assert.deepEqual(await counts(q), {});
}

async function everything(driver) {
  await plainAndFailing();
  await delayed();
  await repeated();
  await prioritisedPausedAndDeduplicated();
  await flow();
  await competing();
  await Promise.all(open.reverse().map((thing) => thing.close()));
  open = [];
  console.log(`BullMQ ${version('bullmq')} on ${driver}: ok`);
}

(async () => {
  const client = from('redis').createClient({ url: `redis://127.0.0.1:${port}/12` });
  client.on('error', (e) => { throw e; });
  await client.connect();
  await client.flushDb();
  // What is queued must not be evicted: BullMQ asks for this, and warns without.
  const policy = await client.configGet('maxmemory-policy');
  await client.configSet('maxmemory-policy', 'noeviction');
  await everything('ioredis');
  await client.flushDb();
  // All queues and workers share this one client, and each listens to it.
  client.setMaxListeners(0);
  connection = client;
  await everything('node-redis');
  await client.flushDb();
  await client.configSet(policy);
  await client.close();
  process.exit(0);
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
