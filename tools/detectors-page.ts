/** Generates docs/reference/detectors.md: what guardrails detect, with measured figures. */
import { readFileSync } from 'node:fs';
import { type BuiltinDetectorName, builtinDetectorNames } from '../contract/guardrails.ts';
import { builtinDetector } from '../extproc/guard/detectors/builtin.ts';
import type { Finding } from '../extproc/guard/detectors/detector.ts';
import { notice, page, row, table } from './markdown.ts';

interface DetectorDescription {
  /** A text with one value. */
  readonly example: string;
  /** How a value is known. */
  readonly check: string;
}

const CHECK_OR_WORD = 'check digit; without separators only after a word such as';

const descriptions: Readonly<Record<BuiltinDetectorName, DetectorDescription>> = {
  CreditCard: {
    example: 'paid with 4111 1111 1111 1111',
    check: 'prefix and length of an issuer, Luhn check digit; groups of three digits or more',
  },
  IBAN: { example: 'to DE89 3704 0044 0532 0130 00', check: 'length of the country, check digits (mod 97)' },
  Email: { example: 'mail jane.doe@example.com', check: 'a domain of at least two labels' },
  Phone: {
    example: 'call +49 30 901820',
    check:
      'with `+`: country and length (libphonenumber). The national numbers of `phoneRegions`: a number that exists, in a form that is usual for phones or after a word such as `phone`',
  },
  USSocialSecurityNumber: {
    example: 'the SSN 536-22-1234',
    check: 'groups 3-2-4, not of the areas 000 and 666; without separators only after a word such as `SSN`',
  },
  GermanTaxID: { example: 'Steuer-ID 86095742719', check: `${CHECK_OR_WORD} \`Steuer\`` },
  AustrianSocialSecurityNumber: {
    example: 'SVNR 1237 010180',
    check: `date of birth, ${CHECK_OR_WORD} \`SVNR\``,
  },
  FrenchSocialSecurityNumber: { example: 'NIR 2 55 08 14 168 025 38', check: 'month, key (mod 97)' },
  SpanishNationalID: { example: 'DNI 12345678Z', check: 'letter (mod 23) of a DNI or NIE' },
  UKNationalInsuranceNumber: { example: 'NI AB 12 34 56 C', check: 'prefixes and suffixes that are issued' },
  UKNHSNumber: { example: 'NHS number 943 476 5919', check: 'check digit (mod 11), after a word such as `NHS`' },
  IndianAadhaar: { example: 'Aadhaar 2341 2341 2346', check: `${CHECK_OR_WORD} \`Aadhaar\`` },
  IndianPAN: { example: 'PAN ABCPE1234F', check: 'type of holder, form' },
  BrazilianCPF: {
    example: 'CPF 529.982.247-25',
    check: 'two check digits; without separators only after a word such as `CPF`',
  },
  BrazilianCNPJ: { example: 'CNPJ 11.222.333/0001-81', check: 'two check digits' },
  IPAddress: {
    example: 'from 203.0.113.7',
    check: 'IPv4 and IPv6, except for 0.0.0.0/8, 127.0.0.0/8, `::` and `::1`',
  },
  MACAddress: { example: 'at 00:1a:2b:3c:4d:5e', check: 'six pairs of hexadecimal digits' },
  CryptoWallet: {
    example: 'to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4',
    check: 'Bitcoin: checksum (Base58Check, Bech32); Ethereum: `0x` and 40 hexadecimal digits',
  },
  Secret: {
    example: 'with AKIAIOSFODNN7EXAMPLE',
    check:
      'the documented prefixes of keys of model providers, AWS, Google, GitHub, GitLab, Slack, Stripe and others, JSON Web Tokens, private keys (PEM), passwords of URLs, and varied values after a name such as `password` or `api_key`',
  },
};

export function detectorsPage(results: string): string {
  const figures = [
    figuresOf(results, 'presidio-evaluator'),
    figuresOf(results, 'Faker'),
    new Map([...figuresOf(results, 'validators'), ...figuresOf(results, 'CredSweeper')]),
  ];
  return page(
    notice('tools/detectors-page.ts and bench/results/guardrails.md'),
    '# Detectors',
    'What `Builtin` finds. Names and addresses of people are not among them: use `Presidio` or a webhook. A value counts also with invisible characters in it, in compatibility forms, digits of other scripts and look-alike letters, with HTML entities, backslashes and percent-encoding. [Guardrails](../guides/guardrails.md) says how to use them.',
    'The figures are recall / precision as [measured](../../bench/results/guardrails.md) on public data sets; – where a set has no such values. Secrets of the last column are credentials in 99 formats of CredSweeper’s rules.',
    table(
      ['type', 'a value', 'how it is known', 'presidio-evaluator', 'Faker', 'validators'],
      builtinDetectorNames.map((name) =>
        row(
          `\`${name}\``,
          `\`${valueIn(name, descriptions[name].example)}\``,
          descriptions[name].check,
          ...figures.map((byType) => byType.get(name) ?? '–'),
        ),
      ),
    ),
    '## Streams',
    'A detector holds back only text that may still become a value, such as the word after which an `@` may follow. The longest match is 8,192 characters for a private key, 4,096 for a JSON Web Token, and 320 otherwise. Of a longer one, the rest is not found.',
    '## Phone numbers',
    'Without `phoneRegions`, only numbers with `+` and the code of a country are found, in any usual form: `+49 30 901820`, `+1 (212) 736-5000`. A national number such as `(212) 736-5000` is one only in some countries, and the same digits are an order number elsewhere, so there is no default: list the countries whose national numbers your users write, such as `phoneRegions: [US, DE]`. Numbers of emergency and short codes are not found.',
    '## Disguises',
    'Both built-in detectors and patterns read a text as people do. Promised: invisible characters inside a value, compatibility forms (fullwidth, mathematical), digits of other scripts, look-alike letters of Cyrillic, Greek and Armenian, kinds of dashes and spaces, HTML entities, backslashes of Markdown and JSON, and percent-encoded signs. A finding has the offsets of the original text. Not promised: values in Base64 or another encoding, spelled out, in another order, translated, or split over several messages or choices: each text is examined by itself. For those, use a service that understands the text.',
    '## Patterns',
    '`Pattern` runs RE2 expressions in linear time, on the text as written and, where the text has other characters than ASCII or escapes, also on its ASCII form. The longest match of an expression bounds what a stream holds back: `project (falcon|osprey)` holds 14 characters. An expression without a bound, such as `a+`, finds at most 1,024 characters at a time. An expression that looks far ahead before a shorter alternative matches, such as `a.*z|a`, reads up to 8 KB of hostile text for each match, so give its repetitions a bound: `a.{0,40}z|a`.',
    '## Prompt injection',
    '`PromptInjection` knows phrases that override instructions (in English, German, French, Spanish, Italian and Portuguese), ask for the system prompt, switch the model to a role without rules, or stand in results of tools and speak to the model; such phrases in Base64 and hexadecimal; markers of chat templates; and text in invisible Unicode tags. Each has a score. It finds what is known and careless: use a classifier behind a webhook for more.',
    injectionTable(results),
  );
}

/** Returns the value that the detector finds in a text, so that the page states what is true. */
function valueIn(name: BuiltinDetectorName, text: string): string {
  const findings: Finding[] = [];
  builtinDetector([name]).find(text, 0, text.length, findings);
  const [finding, ...others] = findings;
  if (finding === undefined || others.length > 0) {
    throw new Error(`${name} finds ${findings.length} values in "${text}"`);
  }
  return text.slice(finding.start, finding.end);
}

/** Reads recall and precision by type from the table of a data set. */
function figuresOf(results: string, set: string): ReadonlyMap<string, string> {
  const [, section = ''] = results.split(`\n### ${set}`);
  const [own = ''] = section.split('\n#');
  return new Map(
    [...own.matchAll(/^\| (\w+) \| \d+ \| (\S+)[^|]*\| \d+ \| (\S+)/gm)].map(([, type, recall, precision]) => [
      type!,
      `${recall} % / ${precision} %`,
    ]),
  );
}

/** Returns the table of flagged texts of the results. */
function injectionTable(results: string): string {
  const [, section = ''] = results.split('\n## Prompt injection\n');
  return section
    .split('\n## ')[0]!
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .join('\n');
}

/** Returns the results that are committed. */
export function committedResults(): string {
  return readFileSync(new URL('../bench/results/guardrails.md', import.meta.url), 'utf8');
}
