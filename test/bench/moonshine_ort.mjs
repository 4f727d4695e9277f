// Greedy transcription by ONNX Runtime, one thread, timed call by call: the other side of moonshine.py.
// Usage: node moonshine_ort.mjs MODEL_DIR CLIP.wav   prints {cold, warm}, each {ids, encoder: seconds, steps: [seconds a decoder call]}.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.env.ORT_NODE_DIR || process.cwd(), 'package.json'));
const ort = require('onnxruntime-node');
const [modelDir, clip] = process.argv.slice(2);

/** 16-bit mono PCM samples of a WAV file as floats in [-1, 1). */
function readWav(file) {
  const bytes = readFileSync(file);
  let at = 12;
  while (bytes.toString('latin1', at, at + 4) !== 'data') at += 8 + bytes.readUInt32LE(at + 4);
  const count = Math.min(bytes.readUInt32LE(at + 4), bytes.length - at - 8) >> 1;
  return Float32Array.from({ length: count }, (_, i) => bytes.readInt16LE(at + 8 + 2 * i) / 32768);
}

async function timed(session, feeds) {
  const start = performance.now();
  const outputs = await session.run(feeds);
  return [outputs, (performance.now() - start) / 1000];
}

const options = { graphOptimizationLevel: 'all', executionMode: 'sequential', intraOpNumThreads: 1, interOpNumThreads: 1 };
const encoder = await ort.InferenceSession.create(path.join(modelDir, 'encoder_model.onnx'), options);
const decoder = await ort.InferenceSession.create(path.join(modelDir, 'decoder_model_merged.onnx'), options);
const audio = readWav(clip);

async function transcribe() {
  const [encoded, encoderSeconds] = await timed(encoder, { input_values: new ort.Tensor('float32', audio, [1, audio.length]) });
  const past = {};
  for (const name of decoder.inputNames)
    if (name.startsWith('past_key_values')) past[name] = new ort.Tensor('float32', new Float32Array(0), [0, 8, 1, 36]);
  const limit = Math.trunc((audio.length / 16000) * 6);
  const ids = [], steps = [];
  let token = 1n;
  for (let step = 0; step < limit && token !== 2n; ++step) {
    const [out, seconds] = await timed(decoder, {
      input_ids: new ort.Tensor('int64', BigInt64Array.of(token), [1, 1]), encoder_hidden_states: encoded.last_hidden_state,
      use_cache_branch: new ort.Tensor('bool', [step > 0], [1]), ...past });
    const logits = out.logits.data;
    let best = 0;
    for (let i = 1; i < logits.length; ++i) if (logits[i] > logits[best]) best = i;
    ids.push(best);
    steps.push(seconds);
    token = BigInt(best);
    for (const name of Object.keys(past))
      if (step === 0 || name.includes('.decoder.')) past[name] = out[name.replace('past_key_values', 'present')];
  }
  return { ids, encoder: encoderSeconds, steps };
}

// ahm-run makes one transcription a process: its counterpart is "cold"; "warm" is the second in the same process.
const cold = await transcribe();
console.log(JSON.stringify({ cold, warm: await transcribe() }));
