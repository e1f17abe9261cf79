/**
 * @file What the files beside this one are made of. They are never run: `tsc -p tsconfig.test.json` (npm test) reads them.
 *
 * - `right()` functions use the library as its users do; `asserts<[Expect<Equal<A, B>>]>()` states inferred types.
 * - `wrong()` functions hold one wrong use a line below `// @ts-expect-error`: where one is accepted, the comment itself is
 *   an error (TS2578).
 */

/** Whether two types are the same, not only assignable to each other. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Accepts only `true`. */
export type Expect<T extends true> = T;

/** Where a function states them. */
export declare function asserts<_ extends readonly true[]>(): void;
