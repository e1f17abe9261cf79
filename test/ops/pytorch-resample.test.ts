/** @file Resizing, grids and shuffles beside PyTorch (fixtures/ops/make_resample.py). */
import { affineGrid, channelShuffle, gridSample, interpolate, pixelShuffle, pixelUnshuffle } from "napier";
import { checkTorch } from "../pytorch.js";

checkTorch("resample", {
  interpolate: ([x], options) => interpolate(x!, options),
  gridSample: ([x, grid], options) => gridSample(x!, grid!, options),
  affineGrid: ([theta], { size, ...options }) => affineGrid(theta!, size, options),
  pixelShuffle: ([x], { factor }) => pixelShuffle(x!, factor),
  pixelUnshuffle: ([x], { factor }) => pixelUnshuffle(x!, factor),
  channelShuffle: ([x], { groups }) => channelShuffle(x!, groups),
});
