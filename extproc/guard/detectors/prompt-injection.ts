/**
 * Finds instructions that try to take over a model, by heuristics: phrases, encoded phrases,
 * invisible characters. A finding has the score of its heuristic. They find what is known and
 * careless; a classifier behind the webhook finds more.
 */
import type { Detector, Finding } from './detector.ts';
import { FoldedText } from './folded-text.ts';

const TYPE = 'PromptInjection';
/** No phrase is longer, in characters. */
const MAX_PHRASE = 160;

interface Heuristic {
  readonly score: number;
  /** Over folded text in lower case. Repetitions are bounded, so that time is linear. */
  readonly phrase: RegExp;
}

const GAP = '[^a-z0-9]{1,4}';
const words = (source: string): RegExp => new RegExp(`\\b(?:${source.replaceAll(' ', GAP)})\\b`, 'g');

const heuristics: readonly Heuristic[] = [
  {
    // Instruction override.
    score: 0.9,
    phrase: words(
      '(?:ignore|disregard|forget|override|bypass|skip) (?:(?:all|any|every|the|these|those|my|your|of) ){0,4}' +
        '(?:previous|prior|above|preceding|earlier|existing|former|initial|original|system) ' +
        '(?:(?:system|safety|security) )?(?:instructions?|prompts?|rules?|directions?|guidelines?|messages?|context|commands?|polic(?:y|ies))',
    ),
  },
  {
    score: 0.85,
    phrase: words(
      '(?:ignore|disregard|forget) (?:everything|anything|all) (?:(?:that )?(?:you|i) (?:were|was|have been) told|above|before(?: this)?)',
    ),
  },
  {
    score: 0.9,
    phrase: words(
      '(?:ignoriere|vergiss|missachte) (?:(?:alle|die|deine|saemtliche|bisherigen) ){0,3}(?:vorherigen|vorigen|bisherigen|obigen|fruheren) (?:anweisungen|regeln|befehle|instruktionen)' +
        '|ignore[zr]? (?:toutes )?les (?:instructions|consignes|regles) (?:precedentes|anterieures|ci dessus)' +
        '|ignora (?:todas )?las (?:instrucciones|reglas|ordenes) (?:anteriores|previas)' +
        '|ignore (?:todas )?as (?:instrucoes|regras) (?:anteriores|acima)' +
        '|ignora (?:tutte )?le (?:istruzioni|regole) (?:precedenti)',
    ),
  },
  {
    // The prompt of the system.
    score: 0.7,
    phrase: words(
      '(?:reveal|show|print|output|repeat|display|leak|tell me|give me) (?:(?:me|us|all|of|the|your|full|entire|exact|complete|hidden) ){1,5}(?:system|initial|hidden|developer) (?:prompt|instructions?|message)',
    ),
  },
  {
    // Role play.
    score: 0.75,
    phrase: words(
      'you are (?:now )?(?:dan|stan|aim|devmode|jailbroken|unrestricted|uncensored)' +
        '|(?:enable|activate|enter|switch to) (?:developer|dan|god|jailbreak|sudo|debug) mode' +
        '|do anything now' +
        '|(?:pretend|act as if|imagine|roleplay as if) (?:that )?you (?:have|had|are under) no (?:rules|restrictions|guidelines|limits|filters?)' +
        '|(?:without|no) (?:any )?(?:ethical|moral|safety|content) (?:restrictions|guidelines|filters?|constraints)',
    ),
  },
  {
    // Markers of a chat template, as text.
    score: 0.8,
    phrase:
      /<\|(?:im_start|im_end|system|endoftext|start_header_id|eot_id)\|>|\[\/?inst\]|<<\/?sys>>|<\/?(?:system|developer)(?:[ _-]prompt)?>|^#{2,4} ?(?:system|new instructions?):/gm,
  },
  {
    // A tool result that speaks to the model.
    score: 0.7,
    phrase: words(
      '(?:ai|llm|assistant|language model|chatbot|agent)s? (?:reading|processing|summarizing|viewing|parsing) this' +
        '|(?:important|urgent|new) (?:instructions?|message|notice) (?:for|to) (?:the |any |all )?(?:ai|llm|assistant|agent|model)s?' +
        '|do not (?:tell|inform|mention|reveal|show)(?: this)?(?: to)? the user' +
        '|without (?:telling|informing|notifying|asking) the user' +
        '|(?:send|post|upload|exfiltrate|forward) (?:the|all|your|any|this) (?:conversation|chat history|system prompt|api keys?|credentials|secrets|files?) to',
    ),
  },
];

const ENCODED = /[A-Za-z0-9+/_-]{32,2048}={0,2}/g;
const MAX_ENCODED = 2050;
const isEncoded = /[A-Za-z0-9+/_=-]/;
const HEX = /^(?:[0-9a-f]{2})+$/i;
const ENCODED_SCORE = 0.95;

/** Tags (U+E0000 to U+E007F) spell ASCII that nobody sees. Flags of regions have at most 6. */
const INVISIBLE = /(?:\udb40[\udc00-\udc7f]){8,64}/g;
const MAX_INVISIBLE = 128;
const INVISIBLE_SCORE = 0.9;

const folded = new FoldedText();

export class PromptInjectionDetector implements Detector {
  readonly #heuristics: readonly Heuristic[];
  readonly #threshold: number;

  constructor(scoreThreshold: number) {
    this.#threshold = scoreThreshold;
    this.#heuristics = heuristics.filter(({ score }) => score >= scoreThreshold);
  }

  find(text: string, from: number, to: number, out: Finding[]): void {
    const known = out.length;
    this.#findPhrases(text, from, to, out);
    if (ENCODED_SCORE >= this.#threshold) {
      this.#findEncoded(text, from, to, out);
    }
    if (INVISIBLE_SCORE >= this.#threshold) {
      findAll(INVISIBLE, text.slice(from, to + MAX_INVISIBLE), (start, end) => {
        if (from + start < to) {
          out.push({ type: TYPE, start: from + start, end: from + end, score: INVISIBLE_SCORE });
        }
      });
    }
    if (out.length > known + 1) {
      out.push(...out.splice(known).sort((a, b) => a.start - b.start));
    }
  }

  openFrom(text: string): number {
    let open = Math.max(0, text.length - MAX_ENCODED);
    let start = text.length;
    while (start > open && isEncoded.test(text[start - 1]!)) {
      start -= 1;
    }
    open = Math.max(open, start);
    return Math.min(open, Math.max(0, text.length - MAX_PHRASE));
  }

  #findPhrases(text: string, from: number, to: number, out: Finding[]): void {
    const base = Math.max(0, from - 1);
    // Escapes make a phrase longer than its characters.
    const window = text.slice(base, to + 2 * MAX_PHRASE);
    folded.begin(window, 0);
    folded.indexOf(window.length);
    const plain = folded.latin1(0, folded.length).toLowerCase();
    for (const { phrase, score } of this.#heuristics) {
      findAll(phrase, plain, (first, last) => {
        const start = base + folded.startOf(first);
        if (start >= from && start < to && last - first <= MAX_PHRASE) {
          out.push({ type: TYPE, start, end: base + folded.endOf(last - 1), score });
        }
      });
    }
  }

  #findEncoded(text: string, from: number, to: number, out: Finding[]): void {
    const window = text.slice(from, to + MAX_ENCODED);
    findAll(ENCODED, window, (start, end) => {
      const continues = start === 0 && from > 0 && isEncoded.test(text[from - 1]!);
      if (from + start < to && !continues && this.#hasPhrase(window.slice(start, end))) {
        out.push({ type: TYPE, start: from + start, end: from + end, score: ENCODED_SCORE });
      }
    });
  }

  /** Returns whether the text is Base64 or hexadecimal of a phrase. */
  #hasPhrase(encoded: string): boolean {
    const decoded = Buffer.from(encoded, HEX.test(encoded) ? 'hex' : 'base64')
      .toString('latin1')
      .toLowerCase();
    return heuristics.some(({ phrase }) => {
      phrase.lastIndex = 0;
      return phrase.test(decoded);
    });
  }
}

function findAll(pattern: RegExp, text: string, found: (start: number, end: number) => void): void {
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    found(match.index, match.index + match[0].length);
  }
}
