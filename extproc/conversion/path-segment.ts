/** Returns a model's name as one segment of a path. Dots alone would be a step in the path. */
export function pathSegment(model: string): string {
  return /^\.*$/.test(model) ? 'unknown' : encodeURIComponent(model.toWellFormed());
}
