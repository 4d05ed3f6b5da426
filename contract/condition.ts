/**
 * Validates and runs the CEL conditions that users write; no other code does. The engine
 * (@marcbachmann/cel-js) checks types but does not limit run time, and its `matches` is
 * JavaScript's backtracking engine. So only a part of CEL is accepted, the cost of each condition
 * is estimated before it is used, and regular expressions run on the engine of `pattern.ts`.
 */
import { createRequire } from 'node:module';
import type { ASTNode, Environment, ParseError, ParseResult } from '@marcbachmann/cel-js';
import type { EndpointName } from './access-policy.ts';
import { MAX_MATCHED_CHARACTERS, patternFault, patternMatcher, patternSize } from './pattern.ts';

/** Longer conditions are refused, to limit the time for parsing. */
export const MAX_CONDITION_CHARACTERS = 1024;

/** No condition is evaluated for a caller in more groups, or with longer names in total. */
export const MAX_GROUPS = 256;
export const MAX_GROUPS_CHARACTERS = 8192;

/** A condition over longer values is not evaluated. */
const MAX_VALUE_CHARACTERS = MAX_MATCHED_CHARACTERS;

/** Of estimated steps; a step takes up to 50 ns, so a condition takes at most about 5 ms. */
const MAX_STEPS = 100_000;

/** Comparing the start or the end of a value. */
const COMPARE_STEPS = 20;

/** Searching one value in another of the maximum length. */
const SEARCH_STEPS = 200;

/** An evaluation that fails (a missing value, an overflow) creates an error, which takes 10 µs. */
const FAILURE_STEPS = 200;

/** The largest `int` of CEL: the output of a request without a known maximum. */
const MAX_INT = 2n ** 63n - 1n;

export interface ConditionFault {
  readonly message: string;
  readonly fix: string;
  /** The place of the fault in the text, from 1. */
  readonly position?: number;
}

/** The variables of a condition. An expression that reads an undefined one fails. */
export interface ConditionFacts {
  readonly request: {
    readonly model: string | undefined;
    readonly endpoint: EndpointName | undefined;
    readonly stream: boolean;
    /** The most output tokens that the request can produce; undefined: no known maximum. */
    readonly maxOutputTokens: number | undefined;
  };
  readonly caller: {
    readonly tenant: string | undefined;
    readonly user: string | undefined;
    readonly groups: readonly string[];
  };
}

const FIX = 'use CEL over request.{model,endpoint,stream,maxOutputTokens} and caller.{tenant,user,groups}';
const SIMPLIFY = 'use a shorter expression, or several rules';

/** Returns the fault of a condition, or undefined if the condition is usable. */
export function conditionFault(text: string): ConditionFault | undefined {
  return faultOfCondition(text, requestEnvironment(), FIX);
}

/** Returns the fault of a condition over the variables of an environment. */
export function faultOfCondition(text: string, environment: Environment, fix: string): ConditionFault | undefined {
  try {
    compileCondition(text, environment);
    return undefined;
  } catch (error) {
    return faultOf(error, fix);
  }
}

/** Returns the fault that parsing, checking or refusing an expression threw. */
export function faultOf(error: unknown, fix: string): ConditionFault {
  if (error instanceof RefusedExpression) {
    return error.fault.fix === FIX ? { ...error.fault, fix } : error.fault;
  }
  const { summary, message, range } = error as ParseError;
  const fault = { message: `is not valid: ${summary ?? message}`, fix };
  return range === undefined ? fault : { ...fault, position: range.start + 1 };
}

/** Returns the estimated steps of a condition. Throws if it has a fault. */
export function conditionSteps(text: string): number {
  return compileCondition(text, requestEnvironment()).steps;
}

/**
 * Returns a predicate. Throws if the condition has a fault. `unknown`: whether a condition whose
 * evaluation fails is satisfied.
 */
export function conditionMatcher(text: string, unknown = false): (facts: ConditionFacts) => boolean {
  const { evaluate } = compileCondition(text, requestEnvironment());
  return ({ request, caller }) => {
    if (!isBounded(request.model) || !isBounded(caller.tenant) || !isBounded(caller.user) || tooMany(caller.groups)) {
      return unknown;
    }
    const { model, endpoint, stream, maxOutputTokens } = request;
    const most = maxOutputTokens === undefined ? MAX_INT : BigInt(Math.ceil(maxOutputTokens));
    const { tenant, user, groups } = caller;
    try {
      const context = { request: { model, endpoint, stream, maxOutputTokens: most }, caller: { tenant, user, groups } };
      return evaluate(context) === true;
    } catch {
      return unknown;
    }
  };
}

function isBounded(value: string | undefined): boolean {
  return value === undefined || value.length <= MAX_VALUE_CHARACTERS;
}

function tooMany(groups: readonly string[]): boolean {
  let characters = 0;
  for (const group of groups) {
    characters += group.length;
  }
  return groups.length > MAX_GROUPS || characters > MAX_GROUPS_CHARACTERS;
}

/** An expression that this file or `weight.ts` does not accept. */
export class RefusedExpression extends Error {
  readonly fault: ConditionFault;

  constructor(message: string, fix: string, node?: ASTNode) {
    super(message);
    this.fault = node === undefined ? { message, fix } : { message, fix, position: node.start + 1 };
  }
}

/** Throws if the condition has a fault. */
export function compileCondition(
  text: string,
  environment: Environment,
): { readonly evaluate: ParseResult; readonly steps: number } {
  checkLength(text);
  const parsed = environment.parse(text);
  // The estimate comes first, because it also replaces the regular expressions in the tree.
  const steps = stepsOf(parsed.ast, undefined);
  const { valid, type, error } = parsed.check();
  if (!valid) {
    throw error;
  }
  if (type !== 'bool') {
    throw new RefusedExpression(`is not a condition: the result has the type ${type}`, 'compare it with a value');
  }
  if (steps > MAX_STEPS) {
    throw new RefusedExpression('takes too long for long values', SIMPLIFY);
  }
  return { evaluate: parsed, steps };
}

/** Throws if an expression is too long to parse. */
export function checkLength(text: string): void {
  if (text.length > MAX_CONDITION_CHARACTERS) {
    throw new RefusedExpression(
      `is too long: ${text.length} characters, the maximum is ${MAX_CONDITION_CHARACTERS}`,
      SIMPLIFY,
    );
  }
}

const require = createRequire(import.meta.url);
let shared: Environment | undefined;

function requestEnvironment(): Environment {
  shared ??= newEnvironment()
    .registerVariable({
      name: 'request',
      schema: { model: 'string', endpoint: 'string', stream: 'bool', maxOutputTokens: 'int' },
    })
    .registerVariable({ name: 'caller', schema: { tenant: 'string', user: 'string', groups: 'list<string>' } });
  return shared;
}

/** Returns an environment without variables. */
export function newEnvironment(): Environment {
  // Loaded on first use, because few policies have conditions. This blocks a process once, for 20
  // to 40 ms on a quiet machine; an asynchronous import would block as long while it evaluates.
  const cel = require('@marcbachmann/cel-js') as typeof import('@marcbachmann/cel-js');
  return new cel.Environment({
    limits: { maxAstNodes: 256, maxDepth: 24, maxListElements: 64, maxMapEntries: 0, maxCallArguments: 2 },
  })
    .registerType('Pattern', Pattern)
    .registerFunction('string.matches(Pattern): bool', matchesPattern, { async: false });
}

/** A regular expression that takes linear time; replaces the literal in the tree of a condition. */
class Pattern {
  readonly matches: (value: string) => boolean;

  constructor(text: string) {
    this.matches = patternMatcher(text);
  }
}

function matchesPattern(value: string, pattern: Pattern): boolean {
  return pattern.matches(value);
}

/** The variable of a quantifier, and how many characters each of its values has on average. */
interface LoopVariable {
  readonly name: string;
  readonly characters: number;
}

/** Variables whose fields are named in quotes. */
const indexed: readonly string[] = ['headers', 'claims'];

const quantifiers: readonly string[] = ['all', 'exists', 'exists_one'];

/**
 * Estimates the steps of an expression, replaces its regular expressions, and refuses what has no
 * limit. Every value is bounded by the variables and the literals: nothing here builds a longer
 * one.
 */
function stepsOf(node: ASTNode, loop: LoopVariable | undefined): number {
  const all = (nodes: readonly ASTNode[]) => nodes.reduce((sum, each) => sum + stepsOf(each, loop), 1);
  switch (node.op) {
    case 'value':
    case 'id':
      return 1;
    case '.':
      return all([node.args[0]]) + (node.args[1] === 'groups' ? 0 : FAILURE_STEPS);
    case '[]':
      if (node.args[0].op !== 'id' || !indexed.includes(node.args[0].args) || node.args[1].op !== 'value') {
        throw notAvailable(node.op, node);
      }
      return all(node.args) + FAILURE_STEPS;
    case '!_':
    case '-_':
      return all([node.args]);
    case '==':
    case '!=':
    case 'in':
      return all(node.args) + Math.max(...node.args.map(lengthOf));
    case '<':
    case '<=':
    case '>':
    case '>=':
    case '&&':
    case '||':
    case '?:':
    case 'list':
      return all(node.args);
    case '-':
    case '*':
    case '/':
    case '%':
      return all(node.args) + FAILURE_STEPS;
    case 'call':
      if (node.args[0] === 'size' || node.args[0] === 'has') {
        return all(node.args[1]) + MAX_VALUE_CHARACTERS;
      }
      throw notAvailable(`${node.args[0]}()`, node);
    case 'rcall':
      return stepsOfMethod(node, loop, all);
    default:
      throw notAvailable(node.op, node);
  }
}

function notAvailable(what: string, node: ASTNode): RefusedExpression {
  return new RefusedExpression(`uses ${what}, which conditions do not have`, FIX, node);
}

function stepsOfMethod(
  node: Extract<ASTNode, { op: 'rcall' }>,
  loop: LoopVariable | undefined,
  all: (nodes: readonly ASTNode[]) => number,
): number {
  const [name, receiver, args] = node.args;
  switch (name) {
    case 'startsWith':
    case 'endsWith':
      return all([receiver, ...args]) + COMPARE_STEPS;
    case 'size':
      return all([receiver, ...args]) + MAX_VALUE_CHARACTERS;
    case 'contains':
      return all([receiver, ...args]) + SEARCH_STEPS;
    case 'matches': {
      const isLoopVariable = loop !== undefined && receiver.op === 'id' && receiver.args === loop.name;
      const size = usePattern(args[0]);
      return all([receiver]) + size * (isLoopVariable ? loop.characters : MAX_VALUE_CHARACTERS);
    }
    default:
      if (quantifiers.includes(name)) {
        return stepsOfQuantifier(node, loop);
      }
      throw notAvailable(`${name}()`, node);
  }
}

/** Replaces the text of a regular expression by a `Pattern`. Returns its size. */
function usePattern(node: ASTNode | undefined): number {
  if (node?.op !== 'value' || typeof node.args !== 'string') {
    throw new RefusedExpression('has a regular expression that is not a literal', 'write it in quotes', node);
  }
  const fault = patternFault(node.args);
  if (fault !== undefined) {
    throw new RefusedExpression(`has a regular expression that ${fault.message}`, fault.fix, node);
  }
  const size = patternSize(node.args);
  (node as { args: unknown }).args = new Pattern(node.args);
  return size;
}

function stepsOfQuantifier(node: Extract<ASTNode, { op: 'rcall' }>, loop: LoopVariable | undefined): number {
  const [, list, [variable, predicate]] = node.args;
  if (loop !== undefined) {
    throw new RefusedExpression('has a quantifier within another', SIMPLIFY, node);
  }
  if (variable?.op !== 'id' || predicate === undefined) {
    // The type check names the fault.
    return 1;
  }
  const times = lengthOf(list);
  const characters = Math.ceil(Math.max(MAX_GROUPS_CHARACTERS, MAX_CONDITION_CHARACTERS) / times);
  return stepsOf(list, loop) + times * stepsOf(predicate, { name: variable.args, characters });
}

/** Returns the maximum number of elements if the expression can be a list, else 1. */
function lengthOf(node: ASTNode): number {
  switch (node.op) {
    case 'list':
      return Math.max(1, node.args.length);
    case '.':
      return node.args[1] === 'groups' ? MAX_GROUPS : 1;
    case '?:':
      return Math.max(lengthOf(node.args[1]), lengthOf(node.args[2]));
    default:
      return 1;
  }
}
