import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import type { Behaviour } from './behaviour.ts';

/** The client's key, which must never reach a provider. */
export const CLIENT_KEY = 'sk-of-the-client-abcdefghij';

/**
 * The official clients with another base URL and without their own retries, so that a test sees
 * each response.
 */
export function openaiClient(url: string, headers: Readonly<Record<string, string>> = {}): OpenAI {
  return new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: CLIENT_KEY,
    maxRetries: 0,
    timeout: 30_000,
    defaultHeaders: headers,
  });
}

export function anthropicClient(url: string, headers: Readonly<Record<string, string>> = {}): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: CLIENT_KEY, maxRetries: 0, timeout: 30_000, defaultHeaders: headers });
}

export function googleClient(url: string, headers: Readonly<Record<string, string>> = {}): GoogleGenAI {
  return new GoogleGenAI({ apiKey: CLIENT_KEY, httpOptions: { baseUrl: url, headers: { ...headers } } });
}

/** Returns request options with instructions for the mock provider. */
export function mock(behaviour: Behaviour, headers: Readonly<Record<string, string>> = {}) {
  return { headers: { 'x-mock': JSON.stringify(behaviour), ...headers } };
}

export function say(content: string) {
  return [{ role: 'user' as const, content }];
}

/** Returns the error that `work` throws. */
export async function errorOf(work: PromiseLike<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('expected an error');
}
