// Moonshine's greedy transcription by ONNX Runtime, the reference of the end-to-end tests.
// Usage: node moonshine_reference.mjs MODEL_DIR CLIP.wav...   prints one JSON object a clip: ids and the smallest margin between the
// two best logits, with all and with no graph optimization.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.env.ORT_NODE_DIR || process.cwd(), 'package.json'));
const ort = require('onnxruntime-node');

const [modelDir, ...clips] = process.argv.slice(2);

/** 16-bit mono PCM samples of a WAV file as floats in [-1, 1). */
function readWav(file) {
  const bytes = readFileSync(file);
  let at = 12;
  while (bytes.toString('latin1', at, at + 4) !== 'data') at += 8 + bytes.readUInt32LE(at + 4);
  const count = Math.min(bytes.readUInt32LE(at + 4), bytes.length - at - 8) >> 1;
  return Float32Array.from({ length: count }, (_, i) => bytes.readInt16LE(at + 8 + 2 * i) / 32768);
}

async function sessions(level) {
  const options = { graphOptimizationLevel: level, intraOpNumThreads: 1, interOpNumThreads: 1 };
  return {
    encoder: await ort.InferenceSession.create(path.join(modelDir, 'encoder_model.onnx'), options),
    decoder: await ort.InferenceSession.create(path.join(modelDir, 'decoder_model_merged.onnx'), options),
  };
}

async function transcribe({ encoder, decoder }, audio) {
  const input = new ort.Tensor('float32', audio, [1, audio.length]);
  const hidden = (await encoder.run({ input_values: input })).last_hidden_state;
  const past = {};
  for (const name of decoder.inputNames)
    if (name.startsWith('past_key_values')) past[name] = new ort.Tensor('float32', new Float32Array(0), [0, 8, 1, 36]);
  const limit = Math.trunc((audio.length / 16000) * 6);
  const ids = [];
  let margin = Infinity;
  let token = 1n;
  for (let step = 0; step < limit && token !== 2n; ++step) {
    const out = await decoder.run({
      input_ids: new ort.Tensor('int64', BigInt64Array.of(token), [1, 1]), encoder_hidden_states: hidden,
      use_cache_branch: new ort.Tensor('bool', [step > 0], [1]), ...past });
    const logits = out.logits.data;
    let best = 0, second = -Infinity;
    for (let i = 1; i < logits.length; ++i)
      if (logits[i] > logits[best]) { second = logits[best]; best = i; } else if (logits[i] > second) second = logits[i];
    margin = Math.min(margin, logits[best] - second);
    ids.push(best);
    token = BigInt(best);
    for (const name of Object.keys(past))
      if (step === 0 || name.includes('.decoder.')) past[name] = out[name.replace('past_key_values', 'present')];
  }
  return { ids, margin };
}

const levels = { all: await sessions('all'), disabled: await sessions('disabled') };
for (const clip of clips) {
  const audio = readWav(clip);
  const result = { clip: path.basename(clip), samples: audio.length };
  for (const [level, pair] of Object.entries(levels)) result[level] = await transcribe(pair, audio);
  console.log(JSON.stringify(result));
}
