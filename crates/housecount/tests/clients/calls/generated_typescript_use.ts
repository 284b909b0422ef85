// A program that uses types generated from /openapi.json by openapi-fetch, as it is, without a credential. Prints a line for
// each call. generated_typescript.mjs compiles and runs it.

import createClient from 'openapi-fetch';
import type { components, operations, paths } from './schema.js';

type HeartbeatRequest = components['schemas']['HeartbeatRequest'];
type HeartbeatResponse = components['schemas']['HeartbeatResponse'];
type Problem = components['schemas']['Problem'];
/** The call that a WebSocket begins with: its query takes a token. */
type WebSocketQuery = operations['openWebSocket']['parameters']['query'];

const client = createClient<paths>({ baseUrl: process.env['CLIENTS_URL'] ?? '' });
const beat = (viewer: string): HeartbeatRequest => ({ stage: 'generated-typescript', viewer });

const heartbeat = await client.POST('/v1/heartbeat', { body: beat('ada') });
const counted: HeartbeatResponse | undefined = heartbeat.data;
console.log(`heartbeat: viewers ${counted?.viewers}, complete ${counted?.complete}, next ${(counted?.nextMs ?? 0) > 0}`);

const batch = await client.POST('/v1/heartbeats', { body: [beat('bob'), beat('eve')] });
console.log(`batch: accepted ${batch.data?.accepted}, rejected ${batch.data?.rejected.length}`);

const refused = await client.POST('/v1/heartbeat', { body: { stage: '', viewer: 'ada' } });
const problem: Problem | undefined = refused.error;
console.log(`refused: ${problem?.status} ${problem?.code}`);

const left = await client.POST('/v1/leave', { body: beat('ada') });
console.log(`leave: ${left.response.status}`);

const query: WebSocketQuery = {};
const upgrade = await client.GET('/v1/ws', { params: { query } });
console.log(`WebSocket by HTTP: ${upgrade.error?.status} ${upgrade.error?.code}`);

const stage = await client.GET('/v1/stages/{stage}', { params: { path: { stage: 'generated-typescript' } } });
console.log(`stage: ${stage.data?.stage}`);
