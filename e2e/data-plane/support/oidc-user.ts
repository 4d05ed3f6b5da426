/**
 * A person with a browser who signs in at `oidc-provider.ts`: follows redirects, keeps cookies and
 * submits the forms of each page.
 */

const MAX_STEPS = 25;

export interface SignInResult {
  /** The last URL: a redirect to `stopAt`, or a page without a form. */
  readonly url: string;
  readonly status: number;
  readonly page: string;
}

/**
 * Opens `url` and submits each form until a page has none, or until the provider redirects to a URL
 * that begins with `stopAt`, which is not opened. Fields named `login` receive `user`.
 */
export async function signIn(url: string, user: string, stopAt?: string): Promise<SignInResult> {
  return new Browser().open(url, user, stopAt);
}

/** Keeps its cookies from page to page. */
export class Browser {
  /** By host and port, so that a cookie reaches only the site that set it. */
  readonly #cookies = new Map<string, Map<string, string>>();
  /** All `set-cookie` headers so far. */
  readonly setCookies: string[] = [];

  /** Opens `url` as `signIn` does. */
  async open(url: string, user: string, stopAt?: string): Promise<SignInResult> {
    let next: { readonly url: string; readonly form?: URLSearchParams } = { url };
    for (let step = 0; step < MAX_STEPS; step++) {
      const response: Response = await fetch(next.url, {
        method: next.form === undefined ? 'GET' : 'POST',
        headers: { accept: 'text/html', cookie: this.cookieHeader(next.url) },
        body: next.form ?? null,
        redirect: 'manual',
      });
      this.#keep(next.url, response);
      const page = await response.text();
      const location = response.headers.get('location');
      if (location !== null) {
        next = { url: new URL(location, next.url).href };
        if (stopAt !== undefined && next.url.startsWith(stopAt)) {
          return { url: next.url, status: response.status, page: '' };
        }
        continue;
      }
      const form = formOf(page, next.url, user);
      if (form === undefined) {
        return { url: next.url, status: response.status, page };
      }
      next = form;
    }
    throw new Error(`the sign-in did not end within ${MAX_STEPS} pages; the last one was ${next.url}`);
  }

  /** Returns the cookies of a site by name. */
  cookies(url: string): ReadonlyMap<string, string> {
    return this.#cookies.get(new URL(url).host) ?? new Map();
  }

  cookieHeader(url: string): string {
    return [...this.cookies(url)].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  #keep(url: string, response: Response): void {
    const { host } = new URL(url);
    const cookies = this.#cookies.get(host) ?? new Map<string, string>();
    this.#cookies.set(host, cookies);
    for (const line of response.headers.getSetCookie()) {
      this.setCookies.push(line);
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '' || value === 'deleted') {
        cookies.delete(name);
      } else {
        cookies.set(name, value);
      }
    }
  }
}

/** Reads the first form of the page and fills it in. */
function formOf(page: string, url: string, user: string): { url: string; form: URLSearchParams } | undefined {
  const [, attributes, content = ''] = /<form([^>]*)>([\s\S]*?)<\/form>/.exec(page) ?? [];
  if (attributes === undefined) {
    return undefined;
  }
  const form = new URLSearchParams();
  for (const [input] of content.matchAll(/<input[^>]*>/g)) {
    const name = attributeOf(input, 'name');
    if (name !== undefined) {
      form.set(name, name === 'login' ? user : name === 'password' ? 'any' : (attributeOf(input, 'value') ?? ''));
    }
  }
  return { url: new URL(attributeOf(attributes, 'action') ?? '', url).href, form };
}

function attributeOf(element: string, name: string): string | undefined {
  return new RegExp(`\\s${name}="([^"]*)"`).exec(element)?.[1]?.replaceAll('&amp;', '&');
}
