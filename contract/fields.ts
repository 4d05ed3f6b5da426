/** Parts of the schemas of a policy. */
import { z } from 'zod';

/** Makes the compiler require a schema for each field of `T`. */
export type Fields<T> = { readonly [K in keyof T]-?: z.ZodType<T[K]> };

export const count = z.int().min(0);
export const text = z.string().min(1);
