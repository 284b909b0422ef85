// Rows of the table: what a client called, what it should see and what it saw.

import { readFileSync } from 'node:fs';

export const URL_ = process.env.CLIENTS_URL;
export const ARN = 'arn:aws:ivs:us-east-1:123456789012:stage/AbCdEf';
const SHOWN_MAX = 100;

/** The status, with a batch's result or a problem's code, and those of the words that its detail has. */
export function short(status, text, ...words) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return String(status);
  }
  if (body?.accepted !== undefined) {
    return `${status} accepted ${body.accepted}${body.rejected.map((each) => `, rejected [${each.index}]`).join('')}`;
  }
  const named = words.filter((word) => body?.detail?.includes(word)).map((word) => ` \`${word}\``);
  return `${status}${body?.code ? ` ${body.code}` : ''}${named.join('')}`;
}

/** The version of an installed package. */
export function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}

/** The rows of one client. */
export class Checks {
  #made = 0;

  constructor(client, version) {
    this.client = client;
    this.version = version;
  }

  /** A heartbeat of a viewer of its own, so that no limit of a session is met. */
  beat(stage = 'clients') {
    this.#made += 1;
    return { stage, viewer: `${this.client}-${process.pid}-${this.#made}` };
  }

  beats(count) {
    return Array.from({ length: count }, () => this.beat());
  }

  /** Prints a row. An error is what was seen. */
  async equal(call, expected, ask) {
    let seen;
    try {
      seen = await ask();
    } catch (error) {
      seen = `${error.name}: ${error.cause?.code ?? error.cause?.message ?? error.message}`;
    }
    const row = [this.client, this.version, call, expected, seen, String(expected) === String(seen) ? 'ok' : 'FAIL'];
    console.log(row.map((each) => String(each).replace(/\s/g, ' ').slice(0, SHOWN_MAX)).join('\t'));
  }
}

/** Asks a number of times, one after the other, and counts what is answered: `20 x 415`. */
export async function times(count, ask) {
  const seen = new Map();
  for (let at = 0; at < count; at += 1) {
    let answer;
    try {
      answer = await ask();
    } catch (error) {
      answer = error.cause?.code ?? error.message;
    }
    seen.set(answer, (seen.get(answer) ?? 0) + 1);
  }
  return [...seen].map(([answer, number]) => `${number} x ${answer}`).join(', ');
}
