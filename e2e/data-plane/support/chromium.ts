/** A headless Chromium of the system, which knows no host but this machine. */
import { existsSync } from 'node:fs';
import { type Browser, chromium, type Page } from 'playwright-core';

const programs = ['chromium', 'chromium-browser', 'google-chrome'].map((name) => `/usr/bin/${name}`);
const STEP_MS = 15_000;
const MAX_FORMS = 5;

export const chromiumProgram = programs.find((program) => existsSync(program));
/** For the options of a test: the reason to skip it, or false. */
export const withoutChromium = chromiumProgram === undefined && 'no Chromium (apt-get install chromium)';

/** `hosts`: addresses of further names that the browser knows. */
export function startChromium(hosts: Readonly<Record<string, string>> = {}): Promise<Browser> {
  const mapped = Object.entries(hosts).map(([name, address]) => `MAP ${name} ${address}`);
  const known = [...Object.values(hosts), '127.0.0.1', 'localhost'].map((name) => `EXCLUDE ${name}`);
  return chromium.launch({
    ...(chromiumProgram !== undefined && { executablePath: chromiumProgram }),
    // The pages of the identity provider name fonts of another site.
    args: [`--host-resolver-rules=${[...mapped, 'MAP * ~NOTFOUND', ...known].join(', ')}`],
  });
}

/** Returns a page of a new profile: without cookies, and without a session at the provider. */
export async function newPage(browser: Browser): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(STEP_MS);
  return page;
}

/** Submits the forms of the identity provider until the browser has left its pages. */
export async function submitForms(page: Page, issuer: string, user: string): Promise<void> {
  for (let form = 0; page.url().startsWith(issuer); form++) {
    if (form === MAX_FORMS) {
      throw new Error(`the provider still shows forms; the last one was ${page.url()}`);
    }
    const login = page.locator('input[name=login]');
    if ((await login.count()) > 0) {
      await login.fill(user);
      await page.locator('input[name=password]').fill('any');
    }
    await Promise.all([page.waitForEvent('load'), page.locator('[type=submit]').first().click()]);
  }
}
