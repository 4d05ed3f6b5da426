import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gatewayUrl } from './gateway.ts';

test('a gateway is named by a URL without a slash at its end', () => {
  for (const [text, url] of [
    ['https://ai.example.com', 'https://ai.example.com'],
    ['https://AI.example.com:443/', 'https://ai.example.com'],
    ['https://ai.example.com/team//', 'https://ai.example.com/team'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ['http://localhost:8080/', 'http://localhost:8080'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
  ] as const) {
    assert.equal(gatewayUrl(text), url);
  }
});

test('a URL where a token could be read or that carries more than a place is refused', () => {
  for (const text of [
    ...['', 'ai.example.com', 'http://ai.example.com', 'http://127.0.0.1.example.com', 'http://localhost.example.com'],
    ...['ftp://127.0.0.1', 'https://user:password@ai.example.com', 'https://ai.example.com?a=b', 'https://a.example#b'],
  ]) {
    assert.equal(gatewayUrl(text), undefined, text);
  }
});
