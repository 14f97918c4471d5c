// Express sessions kept by connect-redis.
'use strict';
const assert = require('assert');
const { from, port, version } = require('./packages.js');
const express = from('express');
const session = from('express-session');
const { RedisStore } = from('connect-redis');
const { createClient } = from('redis');

function application(store) {
  const app = express();
  app.use(session({
    store, secret: 'smoke', resave: false, saveUninitialized: false, cookie: { maxAge: 600000 },
  }));
  app.get('/count', (request, response) => {
    request.session.views = (request.session.views ?? 0) + 1;
    response.json({ views: request.session.views, id: request.session.id });
  });
  app.get('/look', (request, response) => response.json({ views: request.session.views ?? null }));
  app.get('/renew', (request, response) => {
    request.session.regenerate(() => response.json({ id: request.session.id }));
  });
  app.get('/leave', (request, response) => request.session.destroy(() => response.json({})));
  return new Promise((done) => {
    const server = app.listen(0, '127.0.0.1', () => done(server));
  });
}

// A browser: it keeps its cookie.
function browser(server) {
  let cookie = '';
  return async (path) => {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}${path}`, { headers: { cookie } });
    assert.equal(answer.status, 200);
    const [set] = answer.headers.getSetCookie();
    if (set) cookie = set.split(';')[0];
    return answer.json();
  };
}

(async () => {
  const client = createClient({ url: `redis://127.0.0.1:${port}/15` });
  client.on('error', (e) => { throw e; });
  await client.connect();
  await client.flushDb();
  const store = new RedisStore({ client, prefix: 'sess:', scanCount: 10 });
  const server = await application(store);
  const [a, b] = [browser(server), browser(server)];

  const first = await a('/count');
  assert.equal(first.views, 1);
  assert.deepEqual(await a('/count'), { views: 2, id: first.id });
  assert.equal((await b('/count')).views, 1);
  assert.deepEqual(await a('/look'), { views: 2 });
  const kept = JSON.parse(await client.get(`sess:${first.id}`));
  assert.equal(kept.views, 2);
  const ttl = await client.ttl(`sess:${first.id}`);
  assert.ok(ttl > 500 && ttl <= 600, `TTL ${ttl}`);
  // Looking at it is enough to keep it alive.
  await client.expire(`sess:${first.id}`, 10);
  await a('/look');
  assert.ok((await client.ttl(`sess:${first.id}`)) > 500);
  // Many sessions: found with SCAN, read with MGET.
  const visitors = Array.from({ length: 60 }, () => browser(server));
  await Promise.all(visitors.map((visit) => visit('/count')));
  await client.set('not a session', '1');
  assert.equal(await store.length(), 62);
  assert.equal(new Set(await store.ids()).size, 62);
  assert.deepEqual((await store.all()).map((s) => s.views).sort(), [...Array(61).fill(1), 2]);
  // A new id after the login, the old one is gone; and one that leaves is gone as well.
  const renewed = await a('/renew');
  assert.notEqual(renewed.id, first.id);
  assert.equal(await client.exists(`sess:${first.id}`), 0);
  assert.equal((await a('/count')).views, 1);
  await a('/leave');
  assert.deepEqual(await a('/look'), { views: null });
  // One that the server forgot starts anew.
  assert.equal((await b('/count')).views, 2);
  await store.clear();
  assert.equal((await b('/count')).views, 1);
  assert.equal(await store.length(), 1);
  assert.equal(await client.get('not a session'), '1');
  await client.flushDb();
  await client.close();
  server.close();
  console.log(`connect-redis ${version('connect-redis')} with express-session ${version('express-session')}: ok`);
  process.exit(0);
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
