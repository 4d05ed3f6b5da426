import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { builtinDetectorNames } from '../../../contract/guardrails.ts';
import { fuzzRuns } from '../../../tools/fuzz/cases.ts';
import { builtinDetector } from './builtin.ts';
import { findAll, findInPieces, found } from './testing.ts';

const detector = builtinDetector(builtinDetectorNames, ['DE', 'US']);
const cards = builtinDetector(['CreditCard']);

/** Values of each type, and near misses. */
const values = [
  '4111 1111 1111 1111',
  '4111111111111112',
  '3782-822463-10005',
  'jane.doe@example.com',
  'a@b@c.org.',
  'DE89 3704 0044 0532 0130 00',
  'GB82WEST12345698765432',
  '536-22-1234',
  'tax id 86095742719',
  'svnr 1237 010180',
  '2 55 08 14 168 025 38',
  '12345678Z',
  'X1234567L',
  'AB 12 34 56 C',
  'nhs 943 476 5919',
  '2341 2341 2346',
  'ABCPE1234F',
  '529.982.247-25',
  '11.222.333/0001-81',
  '203.0.113.7',
  '2001:db8::8a2e:370:7334',
  'fe80::1:2',
  '00:1a:2b:3c:4d:5e',
  '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa',
  'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4',
  '0x52908400098527886E0F7030069857D2E4169EE7',
  '+49 30 901820',
  '(030) 901820',
  'sk-proj-abcdefghijklmnop1234567890',
  'AKIAIOSFODNN7EXAMPLE',
  '183638111:MoukgzOnSIoMqWBWT79wVarv6PIjo3OF5rq',
  'eyJhbGciOiJkaXIifQ..aXYxMjM0NTY.Y2lwaGVydGV4dA.dGFn',
  'ghp_abcdefghijklmnopqrstuvwxyz0123456789',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc',
  'postgres://user:pa55word@db.example.com',
  '(212)736-5000x0123',
  'api_key = "q7Zp0LmX2vB9sKd4"',
  'password: hunter2hunter2',
  '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----',
];
const words = [
  'the ',
  'x',
  ' ',
  '.',
  '-',
  ',\n',
  '12',
  '2024 ',
  '+',
  '@',
  '\\',
  '%2',
  '&#6',
  '4;',
  '\u200b',
  'ü',
  '世界',
  '😀',
];
const text = fc
  .array(fc.oneof(fc.constantFrom(...values), fc.constantFrom(...words)), { maxLength: 12 })
  .map((parts) => parts.join(''));

describe('a text that arrives in pieces', () => {
  it('has the findings of the whole text, for any cuts', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat(200), { maxLength: 8 }), (whole, places) => {
        const cuts = places.filter((place) => place < whole.length);
        assert.deepEqual(findInPieces(detector, whole, cuts), findAll(detector, whole));
      }),
      fuzzRuns(2000),
    );
  });

  it('has them when it arrives one character at a time', () => {
    fc.assert(
      fc.property(text, (whole) => {
        const cuts = Array.from({ length: whole.length }, (_, index) => index);
        assert.deepEqual(findInPieces(detector, whole, cuts), findAll(detector, whole));
      }),
      fuzzRuns(500),
    );
  });

  // Alone, because one detector may hold back what another one should.
  for (const name of builtinDetectorNames) {
    it(`has the values of ${name} alone, cut after any character`, () => {
      const own = builtinDetector([name], ['DE', 'US']);
      for (const value of values) {
        const whole = `see ${value}, or ${value}.`;
        const cuts = Array.from({ length: whole.length }, (_, index) => index);
        assert.deepEqual(findInPieces(own, whole, cuts), findAll(own, whole));
        for (const cut of cuts) {
          assert.deepEqual(findInPieces(own, whole, [cut]), findAll(own, whole));
        }
      }
    });
  }

  it('holds nothing back of prose that ends with a space', () => {
    const prose = 'Since 2019, the 3 teams (and 4 others) have met twice: in May - and in June. ';
    assert.equal(detector.openFrom(prose), prose.length);
  });
});

describe('values in disguise', () => {
  for (const [disguise, whole, expected] of [
    [
      'zero-width characters',
      'card 4111\u200b1111\u00ad1111\u20601111!',
      'CreditCard: 4111\u200b1111\u00ad1111\u20601111',
    ],
    ['digits of other scripts', '٤١١١ １１１１ ११११ 𝟭𝟭𝟭𝟭', 'CreditCard: ٤١١١ １１１１ ११११ 𝟭𝟭𝟭𝟭'],
    ['Cyrillic letters', 'to jаne@exаmple.соm', 'Email: jаne@exаmple.соm'],
    ['HTML entities', 'to jane&#64;example&period;com', 'Email: jane&#64;example&period;com'],
    ['Markdown escapes', 'to jane\\_doe\\@example.com', 'Email: jane\\_doe\\@example.com'],
    ['JSON escapes', '{\\"to\\":\\"jane\\u0040example.com\\"}', 'Email: jane\\u0040example.com'],
    ['percent-encoding', '?to=jane%40example.com&x', 'Email: jane%40example.com'],
    ['dashes', '4111–1111—1111‑1111', 'CreditCard: 4111–1111—1111‑1111'],
  ] as const) {
    it(`are found behind ${disguise}`, () => {
      assert.deepEqual(found(detector, whole), [expected]);
    });
  }
});

describe('CreditCard', () => {
  it('finds numbers of each issuer with their check digit', () => {
    for (const number of [
      '4111111111111111',
      '5555 5555 5555 4444',
      '378282246310005',
      '6011-1111-1111-1117',
      '30569309025904',
      '3530.1113.3330.0000',
      '2223003122003222',
    ]) {
      assert.deepEqual(found(detector, `paid with ${number}, thanks`), [`CreditCard: ${number}`]);
    }
  });

  it('leaves numbers without issuer, check digit or boundary', () => {
    for (const number of [
      '4111111111111112',
      '1111111111111117',
      'a4111111111111111',
      '0.4111111111111111',
      '41111111111111110',
    ]) {
      assert.deepEqual(found(cards, `id ${number}, thanks`), []);
    }
  });
});

describe('Email', () => {
  it('finds addresses without the punctuation around them', () => {
    assert.deepEqual(found(detector, "Mail <o'hara+a@mail.example.co.uk>, (b@c.org)."), [
      "Email: o'hara+a@mail.example.co.uk",
      'Email: b@c.org',
    ]);
  });

  it('leaves versions, files and the user of repositories', () => {
    assert.deepEqual(found(detector, 'zod@4.6.7 icon@2x.png git@github.com:a/b @decorator a@localhost'), []);
  });
});

describe('built-in detectors', () => {
  for (const [type, written] of [
    ['IBAN', ['DE89 3704 0044 0532 0130 00', 'GB82WEST12345698765432', 'fr1420041010050500013M02606']],
    ['USSocialSecurityNumber', ['536-22-1234', '536 22 1234', '914-27-6083']],
    ['GermanTaxID', ['86 095 742 719']],
    ['FrenchSocialSecurityNumber', ['2 55 08 14 168 025 38', '255081416802538']],
    ['SpanishNationalID', ['12345678Z', '12345678-z', 'X1234567L', 'X-1234567-L']],
    ['UKNationalInsuranceNumber', ['AB123456C', 'AB 12 34 56 C']],
    ['IndianAadhaar', ['2341 2341 2346']],
    ['IndianPAN', ['ABCPE1234F']],
    ['BrazilianCPF', ['529.982.247-25']],
    ['BrazilianCNPJ', ['11.222.333/0001-81']],
    ['IPAddress', ['203.0.113.7', '2001:db8::8a2e:370:7334', 'fe80::1', '1:2:3:4:5:6:7:8']],
    ['MACAddress', ['00:1a:2b:3c:4d:5e', '00-1A-2B-3C-4D-5E']],
    [
      'CryptoWallet',
      [
        '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa',
        'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4',
        '0x52908400098527886E0F7030069857D2E4169EE7',
      ],
    ],
    [
      'Secret',
      [
        'sk-proj-abcdefghijklmnop1234567890',
        'AKIAIOSFODNN7EXAMPLE',
        'AIzaSyA1234567890abcdefghijklmnopqrstuv',
        'ghp_abcdefghijklmnopqrstuvwxyz0123456789',
        'dop_v1_20901f93a36c207ac2c01dfd77c73e0f9bb013111dfd12b34d0f7f20c16efb75',
        '183638111:MoukgzOnSIoMqWBWT79wVarv6PIjo3OF5rq',
        'V52dQNIB4UyBJY.atlasv1.mh6bXkrarT3W78JJ2ejJdy0Aaj9u98VTQh3tRvAqRKv_SV79w8ygfI0y4UddYphY1fH',
        'eyJhbGciOiJkaXIifQ..aXYxMjM0NTY.Y2lwaGVydGV4dA.dGFn',
        'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc',
        '-----BEGIN RSA PRIVATE KEY-----\nMIIB+/=\n-----END RSA PRIVATE KEY-----',
      ],
    ],
    [
      'Phone',
      [
        '+49 30 901820',
        '+1 (212) 736-5000',
        '(212) 736-5000',
        '001-212-736-5000x12',
        '030 901820',
        '(212)736-5000x0123',
      ],
    ],
  ] as const) {
    it(`finds each form of ${type}`, () => {
      for (const value of written) {
        assert.deepEqual(found(builtinDetector([type], ['DE', 'US']), `see ${value}, please`), [`${type}: ${value}`]);
      }
    });
  }

  it('finds a number with a weak check digit only beside a word that names it', () => {
    for (const [type, value, word] of [
      ['GermanTaxID', '86095742719', 'Steuer-ID'],
      ['AustrianSocialSecurityNumber', '1237010180', 'SVNR'],
      ['UKNHSNumber', '943 476 5919', 'NHS number'],
      ['USSocialSecurityNumber', '536221234', 'SSN'],
      ['BrazilianCPF', '52998224725', 'CPF'],
      ['Phone', '2127365000', 'Phone'],
    ] as const) {
      const own = builtinDetector([type], ['US']);
      assert.deepEqual(found(own, `${word}: ${value}.`), [`${type}: ${value}`]);
      assert.deepEqual(found(own, `order ${value}.`), []);
    }
  });

  it('finds only the password of a URL, and the value of a named secret', () => {
    const secrets = builtinDetector(['Secret']);
    assert.deepEqual(found(secrets, 'at postgres://user:pa55word@db/x'), ['Secret: pa55word']);
    assert.deepEqual(found(detector, 'at postgres://user:pa55word@db.example.com/x'), ['Secret: pa55word']);
    assert.deepEqual(found(secrets, '{"password": "hunter2hunter2"}'), ['Secret: hunter2hunter2']);
    assert.deepEqual(found(secrets, 'API_KEY=q7Zp0LmX2vB9sKd4,'), ['Secret: q7Zp0LmX2vB9sKd4']);
  });

  it('leaves wrong check digits, code and times', () => {
    const strict = builtinDetector(builtinDetectorNames);
    for (const text of [
      'DE88 3704 0044 0532 0131 00',
      '666-22-1234',
      '255081416802539',
      '12345678A',
      '529.982.247-26',
      '256.1.1.1 and v1.2.3.4.5 and 127.0.0.1',
      'std::vector<a::b> at 10:20:30 and e::d and ::1',
      '00:1a:2b:3c:4d:5e:6f:70:81',
      '1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb',
      'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5',
      'token = parseToken(input1, index2); const password = getPassword2();',
      'at 2024:MoukgzOnSIoMqWBWT79wVarv6PIjo3OF5rq and hvs.example',
      'sk-learn-and-other-libraries-without-digits',
      'at 2024-07-25 03:10 and 2015-07-30 0312,',
      'from 2024-01-02 to 2024-03-04, pages 100-200',
    ]) {
      assert.deepEqual(found(strict, text), [], text);
    }
  });
});
