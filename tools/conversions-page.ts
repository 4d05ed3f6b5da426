/**
 * Generates docs/reference/conversions.md: what becomes of each feature in each conversion, as
 * the conversions themselves show.
 */
import {
  type EmbeddingClient,
  embeddingBackends,
  embeddingMatrix,
} from '../extproc/conversion/testing/embedding-matrix.ts';
import {
  type Cell,
  convertedBackends,
  type MatrixRow,
  matrixOf,
  nativeBackends,
} from '../extproc/conversion/testing/matrix.ts';
import type { ProbeClient } from '../extproc/conversion/testing/request-probes.ts';
import { notice, page, row, table } from './markdown.ts';

const clients: readonly (readonly [client: ProbeClient, title: string, path: string])[] = [
  ['chat', 'Chat completions', '/v1/chat/completions'],
  ['messages', 'Messages', '/v1/messages'],
  ['responses', 'Responses', '/v1/responses'],
  ['content', 'Google’s generateContent', '/v1beta/models/MODEL:generateContent'],
];

const embeddingClients: readonly (readonly [client: EmbeddingClient, path: string])[] = [
  ['embeddings', '/v1/embeddings'],
  ['embed-content', '/v1beta/models/MODEL:embedContent'],
  ['batch-embed', '/v1beta/models/MODEL:batchEmbedContents'],
];

export async function conversionsPage(): Promise<string> {
  const sections = [];
  for (const [client, title, path] of clients) {
    sections.push(`## ${title}`, served(client, path), matrixTable(client, await matrixOf(client)));
  }
  sections.push('## Embeddings', embeddingModels());
  for (const [client, path] of embeddingClients) {
    sections.push(
      `\`POST ${path}\`:`,
      tableOf(
        embeddingBackends(client).map(({ providerApi }) => providerApi),
        embeddingMatrix(client),
      ),
    );
  }
  return page(
    notice('extproc/conversion/testing/'),
    '# Conversions',
    'What a client of each API can use of backends that speak another one. Each cell is the result of a request or a response that went through the conversion. [Clients](../guides/clients.md#conversion) and [providers](../guides/providers.md) describe the details.',
    table(
      ['Cell', 'Meaning'],
      [
        row('yes', 'The feature reaches the provider, or the client.'),
        row('automatic', 'The provider does so without being asked.'),
        row(
          'refused',
          'The client gets 400 `unsupported_field`, which names the field; with `unsupported: Drop` in the rule, the field is dropped. Values that no conversion can carry are refused always.',
        ),
        row('dropped', 'The provider does not get the field; `x-tallygate-dropped` names it.'),
        row('–', 'The API of the client or of the backend does not have the feature.'),
      ],
    ),
    models(),
    ...sections,
  );
}

function embeddingModels(): string {
  const names = embeddingBackends('embed-content')
    .concat(embeddingBackends('embeddings'))
    .map(({ providerApi, model }) => `${providerApi} \`${model}\``);
  return `The cells hold for these models: ${[...new Set(names)].join(', ')}. Others take more or fewer texts in a request ([limits](../guides/clients.md#embeddings)).`;
}

function models(): string {
  const converted = new Map(
    clients.flatMap(([client]) => convertedBackends(client)).map(({ title, model }) => [title, model]),
  );
  const names = [...converted].map(([title, model]) => `${title} \`${model}\``);
  return `What models can do differs. The cells hold for these: ${names.join(', ')}.`;
}

function served(client: ProbeClient, path: string): string {
  const native = nativeBackends(client).map(({ title }) => title);
  return `\`POST ${path}\`. Backends of ${native.join(', ')} serve this API themselves: requests and responses pass unconverted, with all features.`;
}

function matrixTable(client: ProbeClient, rows: readonly MatrixRow[]): string {
  return tableOf(
    convertedBackends(client).map(({ title }) => title),
    rows,
  );
}

function tableOf(heads: readonly string[], rows: readonly MatrixRow[]): string {
  const used = rows.filter(({ cells }) => cells.some(({ type }) => type !== 'none'));
  return table(
    ['Feature', ...heads],
    used.map(({ feature, cells }) => row(feature, ...cells.map(shown))),
  );
}

function shown(cell: Cell): string {
  switch (cell.type) {
    case 'works':
      return 'yes';
    case 'none':
      return '–';
    case 'refused':
    case 'dropped':
      return /\[|\.content/.test(cell.field) ? cell.type : `${cell.type}: \`${cell.field}\``;
    default:
      return cell.type;
  }
}
