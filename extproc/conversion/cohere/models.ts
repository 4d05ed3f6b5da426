/** What Cohere's models can do, by their names. */

/** Whether the model thinks before it answers, unless it is told not to. */
export function thinks(model: string): boolean {
  return /reasoning/i.test(model);
}
