import type { z } from 'zod';

/** Makes the compiler require a schema for each field of `T`. */
export type Fields<T> = { readonly [K in keyof T]-?: z.ZodType<T[K]> };
