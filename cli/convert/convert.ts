/**
 * Converts files of another gateway: reads them, lets the converter of their source make drafts,
 * and checks these as `tallygate check` does. Knows no clock and no network.
 */
import type { Problem } from '../../translate/problem.ts';
import { readDocuments, type YamlDocument } from '../../translate/read/documents.ts';
import { readWorld, type SourceFile } from '../../translate/read/read.ts';
import { translate } from '../../translate/translate.ts';
import { checkedLookup, exampleEnvoy } from '../check.ts';
import { draftsToYaml, type ObjectDraft } from './draft.ts';
import { convertEnvoyAiGateway, isEnvoyAiGateway } from './envoy-ai-gateway/convert.ts';
import { convertLiteLlm, isLiteLlm } from './litellm/convert.ts';
import { type ReportEntry, reportOf } from './report.ts';
import { SourceField } from './source-field.ts';

export const sourceNames = ['litellm', 'envoy-ai-gateway'] as const;
export type SourceName = (typeof sourceNames)[number];

export interface ConvertedFiles {
  /** None if a file cannot be read. */
  readonly drafts: readonly ObjectDraft[];
  readonly entries: readonly ReportEntry[];
  readonly problems: readonly Problem[];
}

export function convert(
  files: readonly Pick<SourceFile, 'name' | 'text'>[],
  from: SourceName | undefined,
  environment: (name: string) => string | undefined,
): ConvertedFiles {
  const read = files.map(({ name, text }) => readDocuments(name, text));
  const problems = [...read.flatMap((each) => each.problems)];
  const documents = read.flatMap((each) => each.documents);
  const source = from ?? sourceOf(documents);
  if (source === undefined && problems.length === 0) {
    problems.push(unknownSource(files[0]?.name));
  }
  const roots = problems.length > 0 ? [] : documents.flatMap((document) => rootOf(document, problems));
  if (problems.length > 0 || source === undefined) {
    return { drafts: [], entries: [], problems };
  }
  const drafts = source === 'litellm' ? convertLiteLlm(roots, environment) : convertEnvoyAiGateway(roots);
  return { drafts, entries: reportOf(roots), problems: faultsOf(drafts) };
}

function rootOf({ value, source }: YamlDocument, problems: Problem[]): readonly SourceField[] {
  try {
    return [SourceField.read(value, source)];
  } catch (error) {
    if (!(error instanceof RangeError)) {
      throw error;
    }
    const fix = 'split the file, or write it without aliases';
    problems.push({
      severity: 'Error',
      reason: 'InvalidYaml',
      path: '',
      message: error.message,
      fix,
      file: source.file,
    });
    return [];
  }
}

/** Undefined where the documents belong to no source, or to several. */
function sourceOf(documents: readonly YamlDocument[]): SourceName | undefined {
  const found = new Set<SourceName>(
    documents.flatMap(({ value }) =>
      isLiteLlm(value) ? ['litellm'] : isEnvoyAiGateway(value) ? ['envoy-ai-gateway'] : [],
    ),
  );
  return found.size === 1 ? [...found][0] : undefined;
}

function unknownSource(file: string | undefined): Problem {
  return {
    severity: 'Error',
    reason: 'UnknownKind',
    path: '',
    message: 'is no configuration that the converter knows',
    fix: 'name files of LiteLLM or Envoy AI Gateway, or say what they are with --from',
    ...(file !== undefined && { file }),
  };
}

/** The errors that `tallygate check` finds in the output. */
function faultsOf(drafts: readonly ObjectDraft[]): readonly Problem[] {
  const text = draftsToYaml(drafts);
  const { world, problems } = readWorld([{ name: 'output', text, argument: 0 }], checkedLookup);
  const plan = translate(world, { envoy: exampleEnvoy, routeSecret: 'example' });
  return [...problems, ...plan.problems].filter(({ severity }) => severity === 'Error');
}
