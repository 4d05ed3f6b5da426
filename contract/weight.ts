/**
 * Compiles the weights of `WeightedTokens`. A weight is written in CEL, but no CEL engine runs it:
 * it must be linear in the kinds of tokens, so its coefficients are computed here, as exact
 * fractions. Evaluating it then takes as many steps as there are kinds, and what a request may
 * count has a bound that is known before the request is sent.
 */
import type { ASTNode } from '@marcbachmann/cel-js';
import { type ConditionFault, checkLength, faultOf, newEnvironment, RefusedExpression } from './condition.ts';
import type { TokenWeight } from './tokens.ts';
import { type TokenKind, tokenKinds } from './tokens.ts';

/** Amounts of weighted tokens count thousandths. */
export const WEIGHTED_UNITS = 1_000;

/**
 * With these, sums over the usage of one request stay below 2^53: at most 2^24 tokens of each kind
 * are believed.
 */
export const MAX_COEFFICIENT = 10_000;
export const MAX_DIVISOR = 1_000_000;

const FIX =
  'add kinds of tokens, each multiplied or divided by numbers, as in usage.input + 4 * usage.output - usage.cachedInput / 2';

/** Returns the fault of a weight, or undefined if the weight is usable. */
export function weightFault(text: string): ConditionFault | undefined {
  try {
    compileWeight(text);
    return undefined;
  } catch (error) {
    return faultOf(error, FIX);
  }
}

/** Throws if the weight has a fault. */
export function compileWeight(text: string): TokenWeight {
  checkLength(text);
  const { ast } = newEnvironment().parse(text);
  const { terms, divisor } = linearForm(ast);
  const units = [...terms].map(([name, value]) => [name, value * BigInt(WEIGHTED_UNITS)] as const);
  const common = units.reduce((found, [, value]) => greatestDivisor(found, value), divisor);
  const most = BigInt(MAX_COEFFICIENT * WEIGHTED_UNITS) * divisor;
  if (units.some(([, value]) => value > most || value < -most)) {
    throw new RefusedExpression(`has a factor beyond ${MAX_COEFFICIENT}`, 'use smaller numbers');
  }
  if (divisor / common > MAX_DIVISOR) {
    throw new RefusedExpression('has fractions that are too fine', 'use numbers with fewer decimal places');
  }
  const { constant = 0, ...perToken } = Object.fromEntries(
    units.filter(([, value]) => value !== 0n).map(([name, value]) => [name, Number(value / common)]),
  );
  if (!Object.values(perToken).some((value) => value > 0)) {
    throw new RefusedExpression('counts no tokens', 'give some kind of tokens a positive factor, as in usage.output');
  }
  return { perToken, constant, divisor: Number(divisor / common) };
}

/** A sum of kinds of tokens with whole factors and of a constant, divided by a whole number. */
interface LinearForm {
  readonly terms: ReadonlyMap<TokenKind | 'constant', bigint>;
  /** At least 1. */
  readonly divisor: bigint;
}

function linearForm(node: ASTNode): LinearForm {
  switch (node.op) {
    case 'value':
      return numberOf(node);
    case '.':
      return { terms: new Map([[kindOf(node), 1n]]), divisor: 1n };
    case '-_':
      return scaled(linearForm(node.args), -1n, 1n);
    case '+':
      return sum(linearForm(node.args[0]), linearForm(node.args[1]));
    case '-':
      return sum(linearForm(node.args[0]), scaled(linearForm(node.args[1]), -1n, 1n));
    case '*':
      return product(node, linearForm(node.args[0]), linearForm(node.args[1]));
    case '/':
      return quotient(node, linearForm(node.args[0]), linearForm(node.args[1]));
    case 'id':
      throw new RefusedExpression(`uses ${node.args}, which weights do not have`, FIX, node);
    case 'call':
    case 'rcall':
      throw new RefusedExpression(`uses ${node.args[0]}(), which is not linear`, FIX, node);
    default:
      throw new RefusedExpression(`uses ${node.op}, which is not linear`, FIX, node);
  }
}

function kindOf(node: Extract<ASTNode, { op: '.' }>): TokenKind {
  const [object, name] = node.args;
  const kind = tokenKinds.find((each) => each === name);
  if (object.op !== 'id' || object.args !== 'usage' || kind === undefined) {
    const shown = object.op === 'id' ? `${object.args}.${name}` : `.${name}`;
    throw new RefusedExpression(
      `uses ${shown}, which is no kind of tokens`,
      `use usage.{${tokenKinds.join(',')}}`,
      node,
    );
  }
  return kind;
}

function numberOf(node: Extract<ASTNode, { op: 'value' }>): LinearForm {
  const { args: value } = node;
  if (typeof value === 'bigint') {
    return constantForm(value, 1n);
  }
  if (typeof value === 'number' && Number.isFinite(value)) {
    // The shortest decimal number that reads as this value is the one that was written.
    const [, whole = '', places = '', exponent = '0'] = /^(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
    const digits = BigInt(whole + places);
    const power = Number(exponent) - places.length;
    return power < 0 ? constantForm(digits, 10n ** BigInt(-power)) : constantForm(digits * 10n ** BigInt(power), 1n);
  }
  throw new RefusedExpression(`has a value that is no number`, FIX, node);
}

function constantForm(value: bigint, divisor: bigint): LinearForm {
  return { terms: new Map([['constant', value]]), divisor };
}

function sum(one: LinearForm, other: LinearForm): LinearForm {
  const terms = new Map<TokenKind | 'constant', bigint>();
  for (const name of [...one.terms.keys(), ...other.terms.keys()]) {
    const value = (one.terms.get(name) ?? 0n) * other.divisor + (other.terms.get(name) ?? 0n) * one.divisor;
    terms.set(name, value);
  }
  return { terms, divisor: one.divisor * other.divisor };
}

function product(node: ASTNode, one: LinearForm, other: LinearForm): LinearForm {
  const [factor, scales] = isConstant(one) ? [one, other] : [other, one];
  if (!isConstant(factor)) {
    throw new RefusedExpression('is not linear: it multiplies tokens by tokens', FIX, node);
  }
  return scaled(scales, factor.terms.get('constant') ?? 0n, factor.divisor);
}

function quotient(node: ASTNode, dividend: LinearForm, divisor: LinearForm): LinearForm {
  if (!isConstant(divisor)) {
    throw new RefusedExpression('is not linear: it divides by tokens', FIX, node);
  }
  const by = divisor.terms.get('constant') ?? 0n;
  if (by === 0n) {
    throw new RefusedExpression('divides by 0', 'divide by another number', node);
  }
  return by < 0n ? scaled(dividend, -divisor.divisor, -by) : scaled(dividend, divisor.divisor, by);
}

function scaled({ terms, divisor }: LinearForm, factor: bigint, by: bigint): LinearForm {
  return { terms: new Map([...terms].map(([name, value]) => [name, value * factor])), divisor: divisor * by };
}

function isConstant({ terms }: LinearForm): boolean {
  return [...terms.keys()].every((name) => name === 'constant');
}

function greatestDivisor(one: bigint, other: bigint): bigint {
  let [larger, smaller] = [one < 0n ? -one : one, other < 0n ? -other : other];
  while (smaller !== 0n) {
    [larger, smaller] = [smaller, larger % smaller];
  }
  return larger;
}
