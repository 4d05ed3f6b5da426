/** Images, documents and audio of a request. */
import type { AudioPart, DocumentPart, ImagePart, JsonRecord } from '../conversation.ts';
import type { Losses } from '../losses.ts';

const PDF = 'application/pdf';

const IMAGES: ReadonlySet<string> = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/heic', 'image/heif']);

/** The API wants the type of a file beside its URL. */
const imageTypes: ReadonlyMap<string, string> = new Map([
  ['png', 'image/png'],
  ['jpg', 'image/jpeg'],
  ['jpeg', 'image/jpeg'],
  ['webp', 'image/webp'],
  ['heic', 'image/heic'],
  ['heif', 'image/heif'],
]);

const AUDIO: ReadonlySet<string> = new Set(['wav', 'mp3', 'aiff', 'aac', 'ogg', 'flac']);

export function imagePart({ source, at }: ImagePart, losses: Losses): readonly JsonRecord[] {
  if (source.type === 'url') {
    const url = publicUrl(source.url);
    const mimeType = imageTypes.get(url?.pathname.split('.').at(-1)?.toLowerCase() ?? '');
    if (url === undefined || mimeType === undefined) {
      losses.unsupported(at, 'Send the contents of the image, or a public URL that ends in .png, .jpg or .webp');
      return [];
    }
    return [{ fileData: { mimeType, fileUri: source.url } }];
  }
  if (!IMAGES.has(source.mediaType)) {
    losses.unsupported(at, 'Send PNG, JPEG, WebP, HEIC or HEIF');
    return [];
  }
  return [inlineData(source.mediaType, source.data)];
}

export function documentPart({ source, title, at }: DocumentPart, losses: Losses): readonly JsonRecord[] {
  switch (source.type) {
    case 'text':
      return titledText(title, source.text);
    case 'url':
      if (publicUrl(source.url) === undefined) {
        losses.unsupported(at, 'Send the contents of the document, or a public URL');
        return [];
      }
      // Clients may give no other documents by URL.
      return [{ fileData: { mimeType: PDF, fileUri: source.url } }];
    case 'base64':
      if (source.mediaType.startsWith('text/')) {
        return titledText(title, Buffer.from(source.data, 'base64').toString());
      }
      if (source.mediaType !== PDF) {
        losses.unsupported(at, 'Send PDF or plain text');
        return [];
      }
      return [inlineData(PDF, source.data)];
    default:
      return source satisfies never;
  }
}

export function audioPart({ data, format, at }: AudioPart, losses: Losses): readonly JsonRecord[] {
  if (!AUDIO.has(format)) {
    losses.unsupported(at, 'Send WAV, MP3, AIFF, AAC, OGG or FLAC');
    return [];
  }
  return [inlineData(`audio/${format}`, data)];
}

function inlineData(mimeType: string, data: string): JsonRecord {
  return { inlineData: { mimeType, data } };
}

function titledText(title: string | undefined, text: string): readonly JsonRecord[] {
  const whole = title === undefined ? text : `${title}\n\n${text}`;
  return whole === '' ? [] : [{ text: whole }];
}

/**
 * Files of Google's own storage are refused: the provider would read them with the gateway's
 * credential, which the client does not have.
 */
function publicUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.hostname === 'generativelanguage.googleapis.com') {
    return undefined;
  }
  return url;
}
