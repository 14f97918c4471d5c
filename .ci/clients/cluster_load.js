// Load of one client for cluster.py: ioredis or node-redis. See cluster_load.py.
'use strict';
const readline = require('readline');
const { from } = require('./packages.js');

const [name, ...ports] = process.argv.slice(2);
const [WORKERS, KEYS] = [4, 250];
const [PAUSE, PAUSE_AFTER_ERROR, SLOW] = [8, 50, 1000];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const fresh = () => ({ done: 0, errors: 0, limits: 0, wrong: 0, longest: 0, trouble: 0, first: null });

let told = fresh();
let firstIsLimit = false;

// node-redis drops the connections of a node that has no slots any more, with the commands on them.
const isLimit = (e) => e.message === 'Disconnects client';

async function connect() {
  if (name === 'ioredis') {
    const { Cluster } = from('ioredis');
    const client = new Cluster(ports.map((port) => ({ host: '127.0.0.1', port: Number(port) })));
    client.on('error', () => {});
    return client;
  }
  const { createCluster } = from('redis');
  const rootNodes = ports.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
  const client = createCluster({ rootNodes });
  client.on('error', () => {});
  await client.connect();
  return client;
}

// What a worker does, for keys of its own: it sets all of them, then reads them, and so on.
async function work(client, worker) {
  const last = new Map(); // values that were acknowledged
  for (let count = 0; ; count += 1) {
    const key = `${name}:${worker}:${count * 7 % KEYS}`;
    const sets = Math.floor(count / KEYS) % 2 === 0;
    const begun = Date.now();
    let error = null;
    let limit = false;
    let wrong = null;
    try {
      if (sets) {
        await client.set(key, String(count));
        last.set(key, String(count));
      } else {
        const value = await client.get(key);
        const known = last.get(key) ?? null;
        if (known !== null && value !== null && value !== known) wrong = `${key}: ${value} for ${known}`;
      }
    } catch (e) {
      error = `${e.name}: ${e.message}`;
      limit = isLimit(e);
      if (sets) last.delete(key); // what a failed command has done is not known
    }
    const took = Date.now() - begun;
    told.done += 1;
    told.errors += error !== null && !limit;
    told.limits += limit;
    told.wrong += wrong !== null;
    told.longest = Math.max(told.longest, took / 1000);
    if ((error !== null && !limit) || took > SLOW) told.trouble = Date.now() / 1000;
    if ((error || wrong) && (told.first === null || (firstIsLimit && !limit))) {
      told.first = error || wrong;
      firstIsLimit = limit;
    }
    await pause(error ? PAUSE_AFTER_ERROR : PAUSE);
  }
}

async function main() {
  const client = await connect();
  for (let worker = 0; worker < WORKERS; worker += 1) work(client, worker);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line) told = fresh();
    else console.log(JSON.stringify(told));
  }
  process.exit(0);
}

main();
