/** Client selectors of rate limits become keys and conditions of quotas. */
import { headerName } from '../../../crds/schema.ts';
import type { SourceField } from '../source-field.ts';

const MODEL_HEADER = 'x-ai-eg-model';
/** Requests with another value of the header are not limited. */
const UNLIMITED = 9_000_000_000_000;

export interface QuotaSelection {
  readonly key: readonly object[];
  readonly when: readonly string[];
  /** The amount for keys that the condition selects; others are not limited. */
  readonly only?: string;
  /** The fields of the key, and those of conditions. */
  readonly keyFields: readonly SourceField[];
  readonly whenFields: readonly SourceField[];
}

/** Claims by the header into which a SecurityPolicy copies them. */
export type ClaimHeaders = ReadonlyMap<string, string>;

/** Undefined if a quota cannot select the same requests; the field then says why. */
export function selectionOf(selectors: readonly SourceField[], claims: ClaimHeaders): QuotaSelection | undefined {
  const key: object[] = [];
  const when: string[] = [];
  const only: string[] = [];
  const [keyFields, whenFields]: [SourceField[], SourceField[]] = [[], []];
  for (const selector of selectors) {
    const other = [...selector.members].find(([name]) => name !== 'headers');
    if (other !== undefined) {
      other[1].hasNoEqual(
        'quotas know callers, headers and models, not addresses, paths and methods',
        'identify callers by an AIAccessPolicy',
      );
      return undefined;
    }
    for (const header of selector.at('headers')?.items ?? []) {
      const part = headerPart(header, claims);
      if (part === undefined) {
        header.hasNoEqual('a quota cannot select by this header', 'use a key and overrides of the quota');
        return undefined;
      }
      key.push(...(part.key === undefined ? [] : [part.key]));
      when.push(...(part.when === undefined ? [] : [part.when]));
      only.push(...(part.only === undefined ? [] : [part.only]));
      (part.key === undefined ? whenFields : keyFields).push(header);
    }
  }
  const condition = only.join(' && ');
  if (key.length > 4 || [condition, when.join(' && ')].some((text) => text !== '' && text.length > 1024)) {
    return undefined;
  }
  return { key: distinctKeys(key), when, ...(condition !== '' && { only: condition }), keyFields, whenFields };
}

function distinctKeys(key: readonly object[]): readonly object[] {
  return [...new Map(key.map((part) => [JSON.stringify(part), part])).values()];
}

interface HeaderPart {
  readonly key?: object;
  readonly when?: string;
  readonly only?: string;
}

function headerPart(header: SourceField, claims: ClaimHeaders): HeaderPart | undefined {
  const name = header.at('name')?.text?.toLowerCase();
  const value = header.at('value')?.text;
  const type = header.at('type')?.text ?? 'Exact';
  if (name === undefined || !headerName.safeParse(name).success || name.startsWith('x-tallygate-')) {
    return undefined;
  }
  const isInverted = header.at('invert')?.isTrue === true;
  const text = value === undefined ? undefined : JSON.stringify(value);
  if (name === MODEL_HEADER) {
    if (type === 'Distinct') {
      return { key: { type: 'Model' } };
    }
    return type === 'Exact' && text !== undefined
      ? { when: `request.model ${isInverted ? '!=' : '=='} ${text}` }
      : undefined;
  }
  const claim = claims.get(name);
  const key = claim === undefined ? { type: 'Header', header: { name } } : { type: 'Claim', claim: { name: claim } };
  if (type === 'Distinct') {
    return { key };
  }
  if (type !== 'Exact' || text === undefined) {
    return undefined;
  }
  const variable = claim === undefined ? `headers[${JSON.stringify(name)}]` : `claims[${JSON.stringify(claim)}]`;
  return { key, only: `${variable} ${isInverted ? '!=' : '=='} ${text}` };
}

/** The amounts of a quota that limits only some keys. */
export function amountsOf(
  amount: number,
  only: string | undefined,
): { readonly amount: number; readonly overrides?: object[] } {
  return only === undefined ? { amount } : { amount: UNLIMITED, overrides: [{ when: only, amount }] };
}
