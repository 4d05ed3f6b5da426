/** Reads the content of messages and the outputs of tools. */
import type { ConversationPart, JsonRecord, MediaSource } from '../conversation.ts';
import { recordOf, stringOf } from '../json-values.ts';
import type { Losses } from '../losses.ts';
import { mediaSource, RequestFields } from '../reader-fields.ts';

/** Reads a member that is a string or a list of parts; `at` is the path of its object. */
export function readContent(
  fields: RequestFields,
  name: string,
  at: string,
  losses: Losses,
): readonly ConversationPart[] {
  const content = fields.any(name);
  if (content === undefined || typeof content === 'string') {
    return content ? [{ type: 'text', text: content }] : [];
  }
  return fields.records(name).flatMap(({ object }, index) => readPart(object, `${at}.${name}[${index}]`, losses));
}

function readPart(part: JsonRecord, at: string, losses: Losses): readonly ConversationPart[] {
  const fields = new RequestFields(part, losses, `${at}.`);
  switch (part['type']) {
    case 'input_text':
    case 'output_text':
    case 'text':
      return [{ type: 'text', text: fields.text('text') ?? '' }];
    case 'refusal':
      return [{ type: 'refusal', text: fields.text('refusal') ?? '' }];
    case 'input_image':
      return imagePart(fields, at, losses);
    case 'input_file':
      return filePart(fields, at, losses);
    case 'input_audio': {
      const audio = recordOf(part['input_audio']);
      const data = stringOf(audio?.['data']) ?? '';
      return [{ type: 'audio', data, format: stringOf(audio?.['format']) ?? '', at }];
    }
    default:
      losses.unsupported(at);
      return [];
  }
}

function imagePart(fields: RequestFields, at: string, losses: Losses): readonly ConversationPart[] {
  const url = fields.text('image_url');
  if (url === undefined) {
    losses.unsupported(at, 'Send the image as image_url');
    return [];
  }
  const source = mediaSource(url);
  if (source === undefined) {
    losses.invalid(`${at}.image_url`, 'must be a URL or base64 data');
    return [];
  }
  return [{ type: 'image', source, detail: fields.text('detail'), at }];
}

function filePart(fields: RequestFields, at: string, losses: Losses): readonly ConversationPart[] {
  const source = fileSource(fields, at, losses);
  return source === undefined ? [] : [{ type: 'document', source, title: fields.text('filename'), at }];
}

function fileSource(fields: RequestFields, at: string, losses: Losses): MediaSource | undefined {
  const data = fields.text('file_data');
  const url = fields.text('file_url');
  if (data === undefined) {
    if (url === undefined) {
      losses.unsupported(at, 'Send the file as file_data');
      return undefined;
    }
    return { type: 'url', url };
  }
  const read = mediaSource(data);
  if (read === undefined) {
    losses.invalid(`${at}.file_data`, 'must be base64 data');
  }
  // Without a data URL, the data is the bare base64 of a PDF.
  return read?.type === 'url' ? { type: 'base64', mediaType: 'application/pdf', data } : read;
}
