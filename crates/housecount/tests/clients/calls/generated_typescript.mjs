// openapi-typescript: generates from the running server's document; the use beside it compiles with --strict, and works.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Checks, URL_, versionOf } from './checks.mjs';

const checks = new Checks('openapi-typescript', versionOf('openapi-typescript'));
const here = fileURLToPath(new URL('.', import.meta.url));
const folder = `${here}generated`;
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder);
copyFileSync(`${here}generated_typescript_use.ts`, `${folder}/use.ts`);

function run(program, ...flags) {
  const { status, stdout, stderr } = spawnSync(program, flags, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
  return { status, text: `${stdout}${stderr}` };
}

const outcome = ({ status, text }) => (status === 0 ? 'exit 0' : `exit ${status}: ${text.slice(0, 300)}`);
const bin = (name) => `${here}node_modules/.bin/${name}`;
const flags = ['--strict', '--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext', '--types', 'node'];

await checks.equal('generate from /openapi.json', 'exit 0', () =>
  outcome(run(bin('openapi-typescript'), `${URL_}/openapi.json`, '-o', 'schema.d.ts')));
await checks.equal(`tsc ${versionOf('typescript')} --strict of a use`, 'exit 0', () =>
  outcome(run(bin('tsc'), ...flags, 'use.ts')));
const used = run(process.execPath, 'use.js');
const said = new Map(used.text.split('\n').map((line) => line.split(': ')));
for (const [call, expected] of [
  ['heartbeat', 'viewers 1, complete true, next true'],
  ['batch', 'accepted 2, rejected 0'],
  ['refused', '400 invalid_stage'],
  ['leave', '204'],
  ['WebSocket by HTTP', '426 upgrade_required'],
  ['stage', 'generated-typescript'],
]) {
  await checks.equal(`${call}, by openapi-fetch ${versionOf('openapi-fetch')}`, expected, () => said.get(call) ?? outcome(used));
}
