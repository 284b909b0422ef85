// axios: how it writes arrays in queries, objects and forms in bodies.

import axios from 'axios';
import { gzipSync } from 'node:zlib';
import { ARN, Checks, URL_, short, times } from './checks.mjs';

const checks = new Checks('axios', axios.VERSION);
const client = axios.create({
  baseURL: URL_,
  timeout: 10_000,
  proxy: false,
  validateStatus: () => true,
  // As text, so that what was sent is seen.
  transformResponse: (text) => text,
});

const shown = ({ status, data }, ...words) => short(status, data, ...words);

/** The stages that a stream of counts begins with. */
async function streamed(params, paramsSerializer) {
  const { status, data } = await client.get('/v1/live', { params, paramsSerializer, responseType: 'stream' });
  let stages = [];
  let text = '';
  for await (const chunk of data) {
    text += chunk;
    if (status !== 200) continue;
    stages = [...text.matchAll(/"stage":"(\w+)"/g)].map(([, stage]) => stage);
    if (stages.length >= 2) break;
  }
  return status === 200 ? `200 ${stages.sort()}` : short(status, text, 'stage[]', 'stage');
}

await checks.equal('heartbeat', '200', async () => shown(await client.post('/v1/heartbeat', checks.beat())));
await checks.equal('batch', '200 accepted 3', async () => shown(await client.post('/v1/heartbeats', checks.beats(3))));
await checks.equal('batch, gzip', '200 accepted 3', async () =>
  shown(await client.post('/v1/heartbeats', gzipSync(JSON.stringify(checks.beats(3))), {
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
  })));
await checks.equal('heartbeat, FormData, 20 times', '20 x 415 unsupported_media_type', () =>
  times(20, async () => shown(await client.postForm('/v1/heartbeat', { ...checks.beat(), more: 'x'.repeat(60_000) }))));
await checks.equal('heartbeat as URLSearchParams', '415 unsupported_media_type', async () =>
  shown(await client.post('/v1/heartbeat', new URLSearchParams(checks.beat()))));
await checks.equal("live, params {stage: ['a','b']}: stage[]=", '400 invalid_query `stage[]` `stage`', () =>
  streamed({ stage: ['a', 'b'] }));
await checks.equal('the same, indexes: true: stage[0]=', '400 invalid_query `stage`', () =>
  streamed({ stage: ['a', 'b'] }, { indexes: true }));
await checks.equal('the same, indexes: null: stage=', '200 a,b', () =>
  streamed({ stage: ['a', 'b'] }, { indexes: null }));
await checks.equal('stage by path, encodeURIComponent', '200', async () => {
  await client.post('/v1/heartbeat', checks.beat(ARN));
  return shown(await client.get(`/v1/stages/${encodeURIComponent(ARN)}`));
});
await checks.equal('stage by query, params', '200', async () => shown(await client.get('/v1/stage', { params: { stage: ARN } })));
await checks.equal('history, params of two dates', '200', async () =>
  shown(await client.get('/v1/history', { params: { from: new Date(Date.now() - 3_600_000), to: new Date() } })));
