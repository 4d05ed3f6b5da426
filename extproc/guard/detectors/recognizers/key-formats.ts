/** The documented formats of keys and tokens that are known by what they begin with. */
export interface KeyFormat {
  /** What keys begin with. */
  readonly prefix: string;
  /** The characters that follow, and how many. */
  readonly characters: RegExp;
  readonly least: number;
  readonly most: number;
}

const WORD = /[\w-]/;
const ALPHANUMERIC = /[a-z\d]/i;
const UPPER = /[A-Z\d]/;
const HEX = /[a-f\d]/i;
const HEX_GROUPS = /[a-f\d-]/i;
const DOTTED = /[\w.-]/;
const BASE64 = /[\w+/=-]/;

type Row = readonly [prefixes: string, characters: RegExp, least: number, most?: number];

/** Longer keys end here. */
const MAX_KEY = 512;

const modelProviders: readonly Row[] = [
  ['sk-', WORD, 20], // OpenAI, Anthropic, DeepSeek, OpenRouter
  ['gsk_', WORD, 20], // Groq
  ['xai-', WORD, 40],
  ['hf_', WORD, 30], // Hugging Face
  ['pplx- tvly-', WORD, 32], // Perplexity, Tavily
  ['llx-', WORD, 40], // LlamaCloud
  ['tgp_v1_', WORD, 40], // Together AI
  ['tg_', ALPHANUMERIC, 32],
  ['ABSK bedrock-api-key-', BASE64, 28], // Amazon Bedrock
];

const clouds: readonly Row[] = [
  // AWS: identifiers of keys, users and roles.
  ['ABIA ACCA AGPA AIDA AIPA AKIA ANPA ANVA APKA AROA ASCA ASIA', UPPER, 16, 17],
  ['A3T', UPPER, 17, 18],
  ['amzn.mws.', /[a-z\d-]/, 36],
  ['da2-', /[a-z\d]/, 26, 26], // AppSync
  ['LTAI', ALPHANUMERIC, 12, 24], // Alibaba Cloud
  ['AIza', WORD, 35, 35], // Google
  ['GOCSPX-', WORD, 28, 28],
  ['ya29.', WORD, 22],
  ['1//0', WORD, 80],
  ['akab-', /[a-z\d-]/, 33, 33], // Akamai
  ['dop_v1_ doo_v1_ dor_v1_ dos_v1_', HEX, 64, 64], // DigitalOcean
  ['cfat_ cfut_ cfk_', ALPHANUMERIC, 48, 48], // Cloudflare
  ['HRKU-', WORD, 36, 60], // Heroku
  ['hvs. hvb. hvr.', WORD, 80, 200], // HashiCorp Vault
  ['pscale_tkn_ pscale_oauth_ pscale_pw_', DOTTED, 32, 64],
  ['dapi', HEX, 32, 32], // Databricks
  ['sbp_', /[a-f\dv_]/, 40, 44], // Supabase
  ['tskey-api- tskey-auth- tskey-client- tskey-scim- tskey-webhook-', /[a-z\d-]/i, 45, 60],
  ['vcp_ nfp_', ALPHANUMERIC, 36, 60], // Vercel, Netlify
  ['AGE-SECRET-KEY-1', UPPER, 58, 58],
  ['dnkey-', /[A-Z2-7-]/, 79, 79], // Defined Networking
  ['pul-', HEX, 40, 40], // Pulumi
  ['dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.', ALPHANUMERIC, 40, 60], // Doppler
];

const development: readonly Row[] = [
  ['ghp_ gho_ ghu_ ghr_', WORD, 36],
  ['ghs_', DOTTED, 36], // GitHub: also tokens of apps, with the parts of a JSON Web Token
  ['github_pat_', /\w/, 60],
  ['glpat- gldt- glft- glrt- glrtr- glsoat- glptt- glimt- glagent- glcbt- gloas- glffct- glwt-', DOTTED, 20, 110],
  ['GR1348941', WORD, 20, 64], // GitLab runners
  ['_gitlab_session=', DOTTED, 20, 110],
  ['npm_', WORD, 36],
  ['pypi-', WORD, 80],
  ['rubygems_', HEX, 48, 48],
  ['CLOJARS_', HEX, 60, 60],
  ['oy2', /[a-z\d]/, 43, 43], // NuGet
  ['dckr_pat_ dckr_oat_', WORD, 27, 40],
  ['SWMTKN-1- SWMKEY-1-', /[a-z\d-]/i, 43, 90], // Docker Swarm
  ['ATBB', ALPHANUMERIC, 32, 32], // Bitbucket
  ['ATCTT3xFfGN0 ATATT3xFfGF0', BASE64, 80], // Atlassian
  ['BBDC-', WORD, 44, 44],
  ['CCIPAT_ CCIPRJ_', /\w/, 60, 70], // CircleCI
  ['AKCp', WORD, 69, 69], // JFrog
  ['cmVmdGtuO', WORD, 55, 55],
  ['sqa_ sqp_ squ_', HEX, 40, 40], // SonarQube
  ['sgp_', /[a-f\d_local]/, 40, 64], // Sourcegraph
  ['sntrys_eyJ', BASE64, 80], // Sentry
  ['sntryu_', HEX, 64, 64],
  ['glc_eyJ', WORD, 80], // Grafana
  ['glsa_', WORD, 40, 45],
  ['PMAK- PMAT-', /[a-z\d-]/i, 26, 64], // Postman
  ['figd_', WORD, 40, 60],
  ['lin_api_', ALPHANUMERIC, 40, 40],
  ['ntn_', WORD, 40],
  ['waka_', HEX_GROUPS, 36, 36],
  ['cosmo_', HEX, 32, 32],
  ['phx_ phc_ phr_ phs_ pha_', ALPHANUMERIC, 40, 60], // PostHog
  ['dt0', DOTTED, 90, 100], // Dynatrace
  ['NRAK- NRBR- NRII- NRJS-', WORD, 19, 40], // New Relic
];

const services: readonly Row[] = [
  [[...'abcdefghijklmnopqrstuvwxyz'].map((letter) => `xox${letter}-`).join(' '), WORD, 10], // Slack
  ['xapp-', WORD, 10],
  ['sk_live_ sk_test_ rk_live_ rk_test_ pk_live_ pk_test_', ALPHANUMERIC, 16, 160], // Stripe
  ['whsec_', /[a-z\d+/=]/i, 24, 160],
  ['SG.', DOTTED, 33, 100], // SendGrid
  ['xkeysib- xsmtpsib-', WORD, 70, 90], // Brevo
  ['key-', /[a-z\d]/, 32, 32], // Mailgun
  ['shpat_ shpca_ shppa_ shpss_ shptka_', HEX, 32, 32], // Shopify
  ['sq0', WORD, 26, 26],
  ['sq0', WORD, 47, 47], // Square
  ['EAAA EAA', WORD, 60], // Square, Facebook
  ['access_token$production$', /[a-z\d$]/, 49, 49], // PayPal Braintree
  // Twilio.
  ['AC AD AL CA CF CL CN CR FW IP KS MM NO PK PN QU RE SC SD SK SM TR UT XE XR', HEX, 32, 32],
  ['sl.', DOTTED, 77, 200], // Dropbox
  ['CFPAT-', WORD, 43, 43], // Contentful
  ['IGQVJ', BASE64, 100], // Instagram
  ['AAAAAAAAAAAAAAAAAAAAA', /[a-z\d%=]/i, 60], // X
  ['nyk_v0_', WORD, 64, 64], // Nylas
  ['RGAPI-', HEX_GROUPS, 36, 36],
  ['ops_eyJ', WORD, 168], // 1Password
  ['v1.public. v2.public. v3.public. v4.public. v1.local. v2.local. v3.local. v4.local.', DOTTED, 15], // PASETO
  ['k1.local. k2.local. k3.local. k4.local. k1.secret. k2.secret. k3.secret. k4.secret.', WORD, 15],
  ['k1.local-pw. k2.local-pw. k3.local-pw. k4.local-pw.', WORD, 15],
  ['k1.secret-pw. k2.secret-pw. k3.secret-pw. k4.secret-pw.', WORD, 15],
  ['TlRMTVNTUAA', BASE64, 33], // NTLM
];

export const keyFormats: readonly KeyFormat[] = [modelProviders, clouds, development, services]
  .flat()
  .flatMap(([prefixes, characters, least, most = MAX_KEY]) =>
    prefixes.split(' ').map((prefix) => ({ prefix, characters, least, most })),
  );
