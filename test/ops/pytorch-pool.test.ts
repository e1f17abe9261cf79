/** @file Pooling beside PyTorch (fixtures/ops/make_pool.py). */
import {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveMaxPool1dWithIndices,
  adaptiveMaxPool2dWithIndices,
  avgPool1d,
  avgPool2d,
  lpPool1d,
  lpPool2d,
  maxPool1dWithIndices,
  maxPool2dWithIndices,
  maxUnpool1d,
  maxUnpool2d,
} from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("pool", {
  maxPool1d: ([x], { kernel, ...options }) => maxPool1dWithIndices(x!, kernel, options),
  maxPool2d: ([x], { kernel, ...options }) => maxPool2dWithIndices(x!, kernel, options),
  avgPool1d: ([x], { kernel, dilation, ...options }) => avgPool1d(x!, kernel, options),
  avgPool2d: ([x], { kernel, dilation, ...options }) => avgPool2d(x!, kernel, options),
  lpPool1d: ([x], { p, kernel, ...options }) => lpPool1d(x!, p, kernel, options),
  lpPool2d: ([x], { p, kernel, ...options }) => lpPool2d(x!, p, kernel, options),
  adaptiveAvgPool1d: ([x], { size }) => adaptiveAvgPool1d(x!, size),
  adaptiveAvgPool2d: ([x], { size }) => adaptiveAvgPool2d(x!, size),
  adaptiveMaxPool1d: ([x], { size }) => adaptiveMaxPool1dWithIndices(x!, size),
  adaptiveMaxPool2d: ([x], { size }) => adaptiveMaxPool2dWithIndices(x!, size),
  maxUnpool1d: ([x], { kernel, size }) =>
    maxUnpool1d(...maxPool1dWithIndices(x!, kernel), kernel, { outputSize: size }),
  maxUnpool2d: ([x], { kernel, size }) =>
    maxUnpool2d(...maxPool2dWithIndices(x!, kernel), kernel, { outputSize: size }),
});
