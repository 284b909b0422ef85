'use strict';
// A heartbeat endpoint as it is usually written. See README.md beside this file.
//   node server.js PORT express|fastify usual|zadd REDIS_PORT

const { Redis } = require('ioredis');

const [port, framework, mode, redisPort] = process.argv.slice(2);
const HOST = '127.0.0.1';
const PATH = '/v1/heartbeat';
const ONLINE_S = 120;

const redis = new Redis({ host: HOST, port: Number(redisPort) });
redis.on('error', (error) => {
  console.error(`redis: ${error.message}`);
  process.exit(1);
});

const nowS = () => Math.floor(Date.now() / 1000);

const modes = {
  async usual(stage, viewer) {
    await redis.setex(`viewer:${stage}:${viewer}`, ONLINE_S, nowS());
    await redis.sadd('stages:active', stage);
    const viewers = await redis.get(`viewers:${stage}`);
    return { viewers: viewers === null ? 0 : Number(viewers) };
  },
  async zadd(stage, viewer) {
    await redis.zadd(`viewers:${stage}`, nowS(), viewer);
    return { viewers: 0 };
  },
};

const servers = {
  express(beat) {
    const express = require('express');
    const app = express();
    app.use(express.json());
    app.post(PATH, async (request, response) => {
      const { stage, viewer } = request.body ?? {};
      if (typeof stage !== 'string' || typeof viewer !== 'string') {
        response.status(400).json({ error: 'send {"stage","viewer"}' });
        return;
      }
      response.json(await beat(stage, viewer)); // Express 5 answers 500 if this rejects
    });
    app.listen(Number(port), HOST);
  },
  fastify(beat) {
    const text = { type: 'string' };
    const body = { type: 'object', required: ['stage', 'viewer'], properties: { stage: text, viewer: text } };
    const app = require('fastify')();
    app.post(PATH, { schema: { body } }, (request) => beat(request.body.stage, request.body.viewer));
    app.listen({ port: Number(port), host: HOST });
  },
};

if (!port || !servers[framework] || !modes[mode] || !redisPort) {
  console.error('usage: node server.js PORT express|fastify usual|zadd REDIS_PORT');
  process.exit(2);
}
servers[framework](modes[mode]);
