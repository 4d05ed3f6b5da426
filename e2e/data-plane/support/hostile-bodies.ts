/**
 * Request bodies that no honest client sends. Each must be refused with a clear 4xx and never reach
 * a provider.
 */

export interface HostileBody {
  readonly name: string;
  readonly body: Buffer | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly statuses?: readonly number[];
  readonly code?: string;
}

const messages = '"messages":[{"role":"user","content":"Hello"}],"max_tokens":9';

/** `model` must be a served model. */
export function hostileBodies(model: string): readonly HostileBody[] {
  const valid = `{"model":"${model}",${messages}}`;
  const deep = (depth: number) => `{"model":"${model}",${messages},"x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  return [
    { name: 'nothing', body: '' },
    { name: 'white space', body: ' \n\t ' },
    { name: 'a word', body: 'hello' },
    { name: 'a string', body: '"hello"' },
    { name: 'null', body: 'null' },
    { name: 'a number', body: '12' },
    { name: 'an array', body: `[${valid}]` },
    { name: 'a cut document', body: valid.slice(0, -10) },
    { name: 'two documents', body: `${valid}${valid}` },
    { name: 'rubbish after the end', body: `${valid} x` },
    { name: 'a NUL byte after the end', body: `${valid}\0` },
    { name: 'single quotes', body: valid.replaceAll('"', "'") },
    { name: 'a trailing comma', body: `${valid.slice(0, -1)},}` },
    { name: 'a comment', body: `{/* */${valid.slice(1)}` },
    { name: 'NaN', body: `${valid.slice(0, -1)},"temperature":NaN}` },
    { name: 'a control character in a string', body: valid.replace('Hello', 'Hel\nlo') },
    { name: 'a wrong escape', body: valid.replace('Hello', 'Hel\\qlo') },
    {
      name: 'a form',
      body: 'model=gpt&messages=hello',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    },
    { name: '100,000 arrays', body: deep(100_000) },
    { name: '3,000,000 open brackets', body: '['.repeat(3_000_000) },
    { name: '1,000,000 open objects', body: '{"a":'.repeat(1_000_000) },
    { name: 'model twice', body: `{"model":"${model}",${messages},"model":"other"}`, code: 'duplicate_key' },
    { name: 'model in two cases', body: `{"model":"${model}",${messages},"MODEL":"other"}`, code: 'duplicate_key' },
    {
      name: 'model and an escaped model',
      body: `{"mod\\u0065l":"other",${messages},"model":"${model}"}`,
      code: 'duplicate_key',
    },
    {
      name: 'stream with a long s',
      body: `{"model":"${model}",${messages},"stream":false,"\u017ftream":true}`,
      code: 'duplicate_key',
    },
    {
      name: 'a bound in two cases',
      body: `{"model":"${model}",${messages},"Max_Tokens":900000}`,
      code: 'duplicate_key',
    },
    {
      name: 'an escaped case',
      body: `{"model":"${model}",${messages},"\\u004dAX_TOKENS":900000}`,
      code: 'duplicate_key',
    },
    { name: 'UTF-8 with a byte order mark', body: `\ufeff${valid}` },
    { name: 'UTF-16, little endian', body: Buffer.from(valid, 'utf16le') },
    { name: 'UTF-16 with a byte order mark', body: Buffer.from(`\ufeff${valid}`, 'utf16le') },
    { name: 'UTF-16, big endian', body: Buffer.from(`\ufeff${valid}`, 'utf16le').swap16() },
    { name: 'a byte that is not UTF-8', body: Buffer.from(valid.replace('Hello', 'Hel\xfflo'), 'latin1') },
    { name: 'an overlong UTF-8 quote', body: Buffer.from(valid.replace('Hello', 'Hel\xc0\xa2lo'), 'latin1') },
    { name: 'a UTF-8 surrogate', body: Buffer.from(valid.replace('Hello', 'Hel\xed\xa0\x80lo'), 'latin1') },
    { name: 'a cut UTF-8 character', body: Buffer.from(valid.replace('Hello', 'Hel\xe2\x82lo'), 'latin1') },
    { name: 'no model', body: `{${messages}}`, code: 'missing_model' },
    { name: 'MODEL only', body: `{"MODEL":"${model}",${messages}}` },
    { name: 'model null', body: `{"model":null,${messages}}` },
    { name: 'model a number', body: `{"model":5,${messages}}` },
    { name: 'model an object', body: `{"model":{"name":"${model}"},${messages}}` },
    { name: 'model empty', body: `{"model":"",${messages}}`, statuses: [400, 404] },
    { name: 'model of 10 KB', body: `{"model":"${'m'.repeat(10_240)}",${messages}}`, statuses: [400, 404] },
    { name: 'a bound that is text', body: `{"model":"${model}","messages":[],"max_tokens":"9"}` },
    { name: 'a stream that is text', body: `{"model":"${model}",${messages},"stream":"true"}` },
  ];
}
