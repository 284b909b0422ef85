// Node's own fetch: forms, streams, blobs and refusals over connections that it keeps.

import { gzipSync } from 'node:zlib';
import { Checks, URL_, short, times } from './checks.mjs';

const checks = new Checks('fetch', `node ${process.versions.node}`);
const JSON_TYPE = { 'content-type': 'application/json' };

async function ask(path, init) {
  const answer = await fetch(URL_ + path, { signal: AbortSignal.timeout(10_000), ...init });
  return { answer, text: await answer.text() };
}

async function post(path, body, headers, ...words) {
  const { answer, text } = await ask(path, { method: 'POST', body, headers });
  return short(answer.status, text, ...words);
}

function form(bytes) {
  const made = new FormData();
  made.set('stage', 'a');
  made.set('viewer', 'x'.repeat(bytes));
  return made;
}

/** A body without a length, which is sent chunked. */
function streamed(text) {
  const halves = [text.slice(0, 20), text.slice(20)];
  return new ReadableStream({
    pull(out) {
      const next = halves.shift();
      return next === undefined ? out.close() : out.enqueue(new TextEncoder().encode(next));
    },
  });
}

await checks.equal('heartbeat', '200', () => post('/v1/heartbeat', JSON.stringify(checks.beat()), JSON_TYPE));
await checks.equal('heartbeat, no content-type given', '200', () =>
  post('/v1/heartbeat', JSON.stringify(checks.beat()), {}));
await checks.equal('leave', '204', () => post('/v1/leave', JSON.stringify(checks.beat()), JSON_TYPE));
await checks.equal('heartbeat, keepalive Blob as of sendBeacon', '200', () =>
  post('/v1/heartbeat', new Blob([JSON.stringify(checks.beat())], { type: 'text/plain' }), {}));
await checks.equal('batch, gzip', '200 accepted 3', () =>
  post('/v1/heartbeats', gzipSync(JSON.stringify(checks.beats(3))), { ...JSON_TYPE, 'content-encoding': 'gzip' }));
await checks.equal('batch, gzip by CompressionStream', '200 accepted 3', async () => {
  const packed = new Blob([JSON.stringify(checks.beats(3))]).stream().pipeThrough(new CompressionStream('gzip'));
  const body = await new Response(packed).arrayBuffer();
  return post('/v1/heartbeats', body, { ...JSON_TYPE, 'content-encoding': 'gzip' });
});
await checks.equal('batch, stream', '200 accepted 3', async () => {
  const body = streamed(JSON.stringify(checks.beats(3)));
  const { answer, text } = await ask('/v1/heartbeats', { method: 'POST', body, duplex: 'half', headers: JSON_TYPE });
  return short(answer.status, text);
});
await checks.equal('batch after a BOM', '200 accepted 2', () =>
  post('/v1/heartbeats', `\uFEFF${JSON.stringify(checks.beats(2))}`, JSON_TYPE));

// Refused before the body is read: the answer must be seen, and not that the connection was closed.
for (const [name, bytes] of [['small', 100], ['of 60 kB', 60_000], ['of 1 MB', 1_000_000]]) {
  await checks.equal(`heartbeat, FormData ${name}, 20 times`, '20 x 415 unsupported_media_type', () =>
    times(20, () => post('/v1/heartbeat', form(bytes), {})));
}
await checks.equal('batch, FormData, 20 times', '20 x 415 unsupported_media_type', () =>
  times(20, () => post('/v1/heartbeats', form(1_000), {})));
await checks.equal('unknown path, FormData, 20 times', '20 x 404 not_found', () =>
  times(20, () => post('/v1/nothing', form(60_000), {})));
await checks.equal('POST to a GET, FormData, 20 times', '20 x 405 method_not_allowed', () =>
  times(20, () => post('/v1/stats', form(60_000), {})));
await checks.equal('heartbeat of 100 kB, 20 times', '20 x 413 body_too_large', () =>
  times(20, () => post('/v1/heartbeat', JSON.stringify({ ...checks.beat(), more: 'x'.repeat(100_000) }), JSON_TYPE)));
await checks.equal('heartbeat as URLSearchParams', '415 unsupported_media_type', () =>
  post('/v1/heartbeat', new URLSearchParams({ stage: 'a', viewer: 'b' }), {}));
await checks.equal('a good heartbeat after all of them', '200', () =>
  post('/v1/heartbeat', JSON.stringify(checks.beat()), JSON_TYPE));
await checks.equal('live?stage[]=a', '400 invalid_query `stage[]`', async () => {
  const { answer, text } = await ask(`/v1/live?${new URLSearchParams({ 'stage[]': 'a' })}`, {});
  return short(answer.status, text, 'stage[]');
});
