// undici 7: requests that are pipelined, cleartext HTTP/2, WebSockets with subprotocols, and Server-Sent Events.

import { gzipSync } from 'node:zlib';
import { EventSource, FormData, H2CClient, Pool, WebSocket, request } from 'undici';
import { Checks, URL_, short, times, versionOf } from './checks.mjs';

const checks = new Checks('undici', versionOf('undici'));
const headers = { 'content-type': 'application/json' };
const LATE_MS = 10_000;

async function shown({ statusCode, body }, ...words) {
  return short(statusCode, await body.text(), ...words);
}

function post(path, body, more, dispatcher) {
  return request(URL_ + path, { method: 'POST', body, headers: { ...headers, ...more }, dispatcher });
}

/** Resolves with what the event says, or rejects when it is late. */
function once(target, names) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${names} event`)), LATE_MS);
    for (const name of names) {
      target.addEventListener(name, (event) => {
        clearTimeout(late);
        resolve(event);
      }, { once: true });
    }
  });
}

/** The subprotocol of a WebSocket, after a heartbeat over it that was answered. */
async function chosen(...offered) {
  const socket = new WebSocket(`${URL_.replace('http', 'ws')}/v1/ws`, offered);
  const opened = await once(socket, ['open', 'error']);
  if (opened.type !== 'open') return 'closed';
  const answered = once(socket, ['message']);
  socket.send(JSON.stringify(checks.beat()));
  const { viewers } = JSON.parse((await answered).data);
  const { protocol } = socket;
  socket.close();
  return viewers >= 1 ? `protocol "${protocol}"` : 'no count';
}

await checks.equal('heartbeat', '200', async () => shown(await post('/v1/heartbeat', JSON.stringify(checks.beat()))));
await checks.equal('batch, gzip', '200 accepted 3', async () =>
  shown(await post('/v1/heartbeats', gzipSync(JSON.stringify(checks.beats(3))), { 'content-encoding': 'gzip' })));
await checks.equal('heartbeat, FormData, 20 times', '20 x 415 unsupported_media_type', () =>
  times(20, async () => {
    const form = new FormData();
    form.set('viewer', 'x'.repeat(60_000));
    return shown(await request(`${URL_}/v1/heartbeat`, { method: 'POST', body: form }));
  }));
await checks.equal('100 heartbeats over 4 connections, pipelined', '100 x 200', async () => {
  const pool = new Pool(URL_, { connections: 4, pipelining: 10 });
  const sent = checks.beats(100).map((beat) => post('/v1/heartbeat', JSON.stringify(beat), {}, pool).then(shown));
  const seen = await Promise.all(sent);
  await pool.close();
  return times(seen.length, () => seen.pop());
});

const h2c = new H2CClient(URL_);
await checks.equal('H2CClient, heartbeat', '200', async () =>
  shown(await h2c.request({ path: '/v1/heartbeat', method: 'POST', headers, body: JSON.stringify(checks.beat()) })));
await checks.equal('H2CClient, batch, gzip', '200 accepted 3', async () =>
  shown(await h2c.request({
    path: '/v1/heartbeats',
    method: 'POST',
    headers: { ...headers, 'content-encoding': 'gzip' },
    body: gzipSync(JSON.stringify(checks.beats(3))),
  })));
await h2c.destroy();

await checks.equal('WebSocket without subprotocols', 'protocol ""', () => chosen());
await checks.equal('WebSocket, housecount.1', 'protocol "housecount.1"', () => chosen('housecount.1'));
await checks.equal('WebSocket, another and housecount.1', 'protocol "housecount.1"', () =>
  chosen('graphql-ws', 'housecount.1'));
await checks.equal('WebSocket, only another', 'closed', () => chosen('graphql-ws'));

await checks.equal('EventSource, two stages', 'a,b', async () => {
  const events = new EventSource(`${URL_}/v1/live?stage=a&stage=b`);
  const stages = [];
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`only ${stages}`)), LATE_MS);
    events.addEventListener('count', ({ data }) => {
      if (stages.push(JSON.parse(data).stage) < 2) return;
      clearTimeout(late);
      resolve();
    });
  });
  events.close();
  return stages.sort();
});
// A socket that a refusal has left half open must not hold the process.
process.exit();
