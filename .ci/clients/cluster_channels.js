// Channels of a cluster with ioredis and node-redis: cluster_channels.js PORT...
'use strict';
const assert = require('assert');
const { from, version } = require('./packages.js');

const ports = process.argv.slice(2).map(Number);

const host = '127.0.0.1';
const channels = Array.from({ length: 30 }, (_, n) => `news:${n}`);

async function until(what, condition) {
  for (let n = 0; n < 400; n++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}`);
}

async function ioredis() {
  const { Cluster } = from('ioredis');
  const nodes = ports.map((port) => ({ host, port }));
  const publisher = new Cluster(nodes);
  const subscriber = new Cluster(nodes, { shardedSubscribers: true });
  await new Promise((resolve) => subscriber.once('ready', resolve));
  await until('all nodes are known', () => publisher.nodes('master').length === ports.length);
  const heard = [];
  subscriber.on('message', (channel, text) => heard.push(text));
  await subscriber.subscribe('news');
  const words = [];
  for (const node of publisher.nodes('master')) {
    words.push(`from ${node.options.port}`);
    await node.publish('news', words.at(-1));
  }
  await until('all messages have come', () => heard.length >= words.length);
  assert.deepStrictEqual(heard.sort(), words.sort());
  const sharded = new Set();
  subscriber.on('smessage', (channel, text) => { if (channel === text) sharded.add(text); });
  for (const channel of channels) {
    await subscriber.ssubscribe(channel);
    await until(`${channel} has a subscriber`, async () => (await publisher.spublish(channel, channel)) === 1);
  }
  await until('all sharded messages have come', () => sharded.size === channels.length);
  subscriber.disconnect();
  publisher.disconnect();
  console.log(`ioredis ${version('ioredis')}, channels of a cluster: ok`);
}

async function nodeRedis() {
  const { createCluster } = from('redis');
  const rootNodes = ports.map((port) => ({ url: `redis://${host}:${port}` }));
  const [publisher, subscriber] = [createCluster({ rootNodes }), createCluster({ rootNodes })];
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const heard = [];
  await subscriber.subscribe('news', (text) => heard.push(text));
  for (const port of ports) await publisher.publish('news', `from ${port}`);
  await until('all messages have come', () => heard.length >= ports.length);
  assert.strictEqual(heard.length, ports.length);
  const sharded = new Set();
  for (const channel of channels) {
    await subscriber.sSubscribe(channel, (text) => sharded.add(text));
    await until(`${channel} has a subscriber`, async () => (await publisher.sPublish(channel, channel)) === 1);
  }
  await until('all sharded messages have come', () => sharded.size === channels.length);
  await Promise.all([publisher.close(), subscriber.close()]);
  console.log(`node-redis ${version('redis')}, channels of a cluster: ok`);
}

(async () => {
  await ioredis();
  await nodeRedis();
})().catch((error) => { console.error(error); process.exit(1); });
