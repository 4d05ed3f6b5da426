/**
 * Phrases that try to take over a model, over folded text in lower case: letters without accents.
 * A space stands for up to four characters between words.
 */

export interface InjectionPhrase {
  readonly score: number;
  /** The words that such phrases begin with. */
  readonly first: string;
  /** What follows, as a regular expression. Repetitions are bounded, so that time is linear. */
  readonly rest: string;
}

const RULES =
  '(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|messages?|context|commands?|polic(?:y|ies)|restrictions?|protocols?|filters?)';
const ADJECTIVES = '(?:(?:unethical|immoral|illegal|dangerous|harmful|toxic|or|and|even|is|it|if) )';

/** Overrides of instructions. */
const overrides: readonly InjectionPhrase[] = [
  {
    score: 0.9,
    first: 'ignore|disregard|forget|override|bypass|skip',
    rest: ` (?:(?:all|any|every|the|these|those|my|your|of) ){0,4}(?:previous|prior|above|preceding|earlier|existing|former|initial|original|system|developer) (?:(?:and|developer|system|safety|security) ){0,3}${RULES}`,
  },
  {
    score: 0.85,
    first: 'ignore|disregard|forget',
    rest: ' (?:everything|anything|all) (?:(?:that )?(?:you|i) (?:were|was|have been) told|above|before(?: this)?)',
  },
  {
    score: 0.75,
    first: 'ignore|disregard|override|bypass|forget|break',
    rest: ` (?:(?:all|any|of|the) ){0,3}(?:your|its|their|openai s|content|safety|ethical|moral) (?:(?:content|safety|ethical|moral|security|operator s|confidentiality) ){0,2}${RULES}`,
  },
  { score: 0.7, first: 'ignore|disregard', rest: ` all ${RULES}` },
  { score: 0.7, first: 'skip', rest: ' all safety (?:checks|rules)' },
  { score: 0.7, first: 'override', rest: ' (?:safety|security|content)' },
  {
    score: 0.7,
    first: 'safety',
    rest: ' (?:protocols|guidelines|rules|filters) (?:are )?(?:disabled|off|suspended|do not apply|were not meant)',
  },
  { score: 0.6, first: 'new', rest: ' (?:instructions?|directives?) (?:you|ignore|from|for)' },
  { score: 0.7, first: 'your', rest: ' (?:new directive|rules have changed|real task is)' },
  { score: 0.7, first: 'supersedes', rest: ' all (?:prior|previous|other)' },
  { score: 0.7, first: 'must|and', rest: ' comply with (?:every|all|any) requests?' },
  { score: 0.7, first: 'comply', rest: ' with (?:every|all|any) requests?' },
  {
    score: 0.9,
    first: 'ignoriere|vergiss|missachte',
    rest: ' (?:(?:alle|die|deine|saemtliche|bisherigen|vorherigen|vorigen|obigen|fruheren) ){1,3}(?:anweisungen|regeln|befehle|instruktionen|richtlinien)',
  },
  {
    score: 0.85,
    first: 'ignore|ignorez|oublie|oubliez',
    rest: ' (?:(?:toutes|les|tes|vos) ){1,3}(?:instructions|consignes|regles)',
  },
  {
    score: 0.85,
    first: 'ignora|olvida|dimentica|ignore|esqueca',
    rest: ' (?:(?:todas|tutte|las|le|as|tus|tue|suas) ){1,3}(?:instrucciones|reglas|ordenes|instrucoes|regras|istruzioni|regole)',
  },
];

/** Questions for the prompt of the system. */
const disclosures: readonly InjectionPhrase[] = [
  {
    score: 0.7,
    first: 'reveal|show|print|printing|output|repeat|display|leak|tell me|give me',
    rest: ' (?:(?:me|us|all|of|the|your|full|entire|exact|complete|hidden) ){1,5}(?:system|initial|hidden|developer) (?:prompt|instructions?|message)',
  },
  { score: 0.6, first: 'repeat', rest: ' (?:the )?(?:words|text|everything) above' },
  { score: 0.65, first: 'output|print|reveal', rest: ' everything in your context' },
  { score: 0.65, first: 'the', rest: ' (?:exact |operating )?instructions you were given' },
  { score: 0.7, first: 'mir|verrate|zeige', rest: ' (?:mir )?deine (?:systemanweisungen|anweisungen|systemprompt)' },
  {
    score: 0.7,
    first: 'revele|revela|rivela|montre|muestra|mostra',
    rest: '(?: moi)? (?:tes|tus|le tue) (?:instructions|instrucciones|istruzioni) (?:du |del |di )?(?:systeme|sistema)',
  },
];

/** Roles without rules. */
const roles: readonly InjectionPhrase[] = [
  {
    score: 0.75,
    first: 'you',
    rest: ' are (?:now )?(?:an? )?(?:dan|stan|aim|devmode|jailbroken|unrestricted|uncensored)',
  },
  {
    score: 0.75,
    first: 'enable|activate|enter|switch',
    rest: ' (?:to )?(?:developer|dan|god|jailbreak|sudo|debug) mode',
  },
  { score: 0.6, first: 'developer', rest: ' mode (?:enabled|output|v2)' },
  { score: 0.75, first: 'do', rest: ' anything now' },
  { score: 0.5, first: 'jailbreak|jailbroken|jailbreaking', rest: '' },
  {
    score: 0.75,
    first: 'pretend|act|imagine|roleplay|respond',
    rest: ' (?:as if )?(?:that )?you (?:have|had|are under|are an? (?:ai|model) with) no (?:content )?(?:rules|restrictions|guidelines|limits|filters?|polic(?:y|ies))',
  },
  {
    score: 0.6,
    first: 'without|no|any',
    rest: ' (?:any )?(?:ethical|moral|safety|content) (?:\\w+ ){0,2}(?:restrictions|guidelines|filters?|constraints|limitations|boundaries|polic(?:y|ies)|principles)',
  },
  {
    score: 0.6,
    first: 'from',
    rest: ' now on (?:you|act|respond|answer) (?:(?:will|are|must|have|as|should|to|going|can) ){0,3}(?:ignore|no|as if|act|respond|answer|pretend|play|an? unrestricted)',
  },
  { score: 0.6, first: 'you', rest: ' are (?:going|about) to (?:act|pretend|immerse|play|simulate|roleplay)' },
  { score: 0.6, first: 'stay|staying|break|breaking', rest: ' (?:in|out of) character' },
  {
    score: 0.6,
    first: 'never|not|cannot|dont|don|can|wont|won',
    rest: '(?: t)? (?:ever )?(?:refuse|decline) (?:to|any|a|the|my)',
  },
  {
    score: 0.65,
    first: 'unfiltered|amoral|immoral|unethical|uncensored|unrestricted',
    rest: ' (?:(?:and|or|\\w+) ){0,2}(?:responses?|answers?|chatbot|ai|assistant|model|bot)',
  },
  {
    score: 0.6,
    first: 'illegal|unethical|immoral',
    rest: ` ${ADJECTIVES}{0,2}(?:illegal|unethical|immoral|dangerous|harmful)`,
  },
  {
    score: 0.65,
    first: 'free|freed|liberated',
    rest: ' from (?:(?:all|any|the|typical|its|their|your|of|usual) ){0,3}(?:restrictions|rules|limitations|confines|constraints|censorship)',
  },
  { score: 0.65, first: 'broken', rest: ' free (?:of|from)' },
  {
    score: 0.65,
    first: 'has|have|had|with|without',
    rest: ' (?:no |any )(?:restrictions|limitations|filters?|censorship|ethics|rules)',
  },
  { score: 0.65, first: 'exempt', rest: ' from (?:the )?(?:usual |all )?(?:restrictions|rules|policies)' },
  { score: 0.65, first: 'openai', rest: ' (?:s )?(?:content )?(?:polic(?:y|ies)|guidelines)' },
  {
    score: 0.65,
    first: 'sin|sans|senza|ohne',
    rest: ' (?:restricciones|restrictions|restrizioni|einschrankungen|einschraenkungen|filtro|filtre)',
  },
  { score: 0.65, first: 'du', rest: ' (?:bist )?(?:jetzt )?(?:uneingeschrankt|keine regeln|hast keine regeln)' },
];

/** Results of tools that speak to the model. */
const toolResults: readonly InjectionPhrase[] = [
  {
    score: 0.7,
    first: 'ai|llm|assistant|chatbot|agent|agents|assistants|model|system',
    rest: ' (?:reading|processing|summarizing|viewing|parsing|reviewing|integrating) this',
  },
  {
    score: 0.7,
    first: 'important|urgent|new|note|notice|message|instructions',
    rest: ' (?:(?:instructions?|message|notice) )?(?:for|to) (?:(?:the|any|all) )?(?:ai|llm|bot|assistant|agent|model)s?',
  },
  { score: 0.7, first: 'do', rest: ' not (?:tell|inform|mention|reveal|show)(?: this)?(?: to)? the user' },
  { score: 0.7, first: 'without', rest: ' (?:telling|informing|notifying|asking) the user' },
  {
    score: 0.7,
    first: 'send|post|upload|exfiltrate|forward|email',
    rest: ' (?:(?:the|all|your|any|this|them|full) ){1,2}(?:(?:conversation|chat history|system prompt|api keys?|credentials|secrets|files?|customer list) )?to (?:\\w+@|http)',
  },
  {
    score: 0.7,
    first: 'send|post|upload|exfiltrate|forward',
    rest: ' (?:the|all|your|any|this) (?:conversation|chat history|system prompt|api keys?|credentials|secrets) to',
  },
  { score: 0.6, first: 'system', rest: ' (?:note|update|override|notice) ?:' },
  { score: 0.6, first: 'end', rest: ' of (?:user input|document|system prompt|instructions)' },
  { score: 0.6, first: 'systemhinweis|nota|note', rest: ' (?:del sistema|di sistema|systeme)' },
  { score: 0.65, first: 'append|include|add', rest: ' the (?:exact )?token' },
  {
    score: 0.65,
    first: 'decode|read|translate',
    rest: ' (?:\\w+ ){0,4}(?:base64|rot13|hex|binary|string)(?: \\w+){0,5} (?:follow|execute|exactly what|do what)',
  },
];

export const injectionPhrases: readonly InjectionPhrase[] = [...overrides, ...disclosures, ...roles, ...toolResults];
