// Runs small decoders of models/zoo in ONNX Runtime: node zoo.mjs JOBS.json. JOBS is a list of {model, ids, chunk, out} and, where wanted,
// level (of graph optimization), encoder and features (its input's shape), later (the model of all calls but
// the first), pad (compare a left-padded sequence of a batch with itself alone), inputs (one call, no cache). For each, the
// logits of `ids` in one call are written to `out` (float32, little endian, [ids, vocabulary]) and compared with those of chunked and of token-by-token
// calls. Prints one JSON line a job: {model, chunked, stepped, padded} (largest differences) or {model, error}.
// onnxruntime-node is looked for in $ORT_NODE_DIR.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const ort = createRequire(path.join(process.env.ORT_NODE_DIR || process.cwd(), 'package.json'))('onnxruntime-node');

// Numbers of a float32 or float16 tensor.
function numbers(tensor) {
  if (tensor.type === 'float32') return tensor.data;
  const bits = new Uint16Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.length);
  return Float32Array.from(bits, h => {
    const exponent = (h >> 10) & 31, fraction = h & 1023, sign = h & 0x8000 ? -1 : 1;
    return sign * (exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  });
}

function integers(type, values, dims) {
  return new ort.Tensor(type, type === 'int64' ? BigInt64Array.from(values.map(BigInt)) : Int32Array.from(values), dims);
}

// The output that becomes the cache input `name` of the next call.
function successor(name) {
  if (name.startsWith('past_key_values.')) return name.replace('past_key_values', 'present');
  return name.startsWith('past_') ? name.replace('past_', 'present_') : 'updated_' + name;
}

// The state of one sequence: growing caches (past_* → present*) or fixed ones (*_cache.N → updated_*_cache.N). `fixed` holds inputs that stay; `later` is
// the model of all calls but the first where that is another one.
class Sequence {
  constructor(session, fixed, later) {
    this.session = session;
    this.later = later ?? session;
    this.length = 0;
    this.fixed = fixed;
    this.ids = session.inputMetadata.find(m => m.name === 'input_ids').type;
    this.past = {};
    for (const m of this.later.inputMetadata) {
      if (!/^past_|_cache\./.test(m.name) || fixed[m.name]) continue;
      const dims = m.shape.map((d, i) => typeof d === 'string' ? (i === 0 ? 1 : 0) : Number(d));
      const size = dims.reduce((a, b) => a * b, 1);
      this.past[m.name] = new ort.Tensor(m.type, m.type === 'float16' ? new Uint16Array(size) : new Float32Array(size), dims);
    }
  }
  async step(ids) {
    const total = this.length + ids.length;
    const session = this.length > 0 ? this.later : this.session;
    const known = {
      ...this.past, ...this.fixed, input_ids: integers(this.ids, ids, [1, ids.length]),
      attention_mask: integers('int64', Array(total).fill(1), [1, total]),
      position_ids: integers('int64', ids.map((_, i) => this.length + i), [1, ids.length]),
      write_indices: integers('int64', [this.length], [1]), nonpad_kv_seqlen: integers('int64', [total], [1]),
      use_cache_branch: new ort.Tensor('bool', Uint8Array.from([this.length > 0 ? 1 : 0]), [1]),
    };
    const outputs = await session.run(Object.fromEntries(session.inputNames.map(n => [n, known[n]])));
    for (const name of Object.keys(this.past)) {
      if (!(name.includes('.encoder.') && this.length > 0)) this.past[name] = outputs[successor(name)];   // a merged decoder gives those once
    }
    this.length = total;
    return outputs.logits;
  }
  async all(ids, chunk) {
    const rows = [];
    for (let i = 0; i < ids.length; i += chunk) rows.push(numbers(await this.step(ids.slice(i, i + chunk))));
    const result = new Float32Array(rows.reduce((n, r) => n + r.length, 0));
    let at = 0;
    for (const r of rows) { result.set(r, at); at += r.length; }
    return result;
  }
}

// Two sequences in one call, the second `pad` tokens shorter and padded on the left; the largest difference of its logits from those it has alone.
async function padded(session, ids, pad) {
  const n = ids.length, alone = await new Sequence(session, {}).all(ids.slice(pad), n);
  const inputs = {
    input_ids: integers('int64', [...ids, ...Array(pad).fill(0), ...ids.slice(pad)], [2, n]),
    attention_mask: integers('int64', [...Array(n).fill(1), ...Array(pad).fill(0), ...Array(n - pad).fill(1)], [2, n]),
    position_ids: integers('int64', [...ids.keys(), ...Array(pad).fill(1), ...Array(n - pad).keys()], [2, n]),
  };
  for (const m of session.inputMetadata)
    if (m.name.startsWith('past_')) inputs[m.name] = new ort.Tensor('float32', new Float32Array(0), m.shape.map((d, i) => typeof d === 'string' ? (i ? 0 : 2) : Number(d)));
  const logits = (await session.run(inputs)).logits.data;
  return largest(alone, logits.slice(logits.length - alone.length));
}

function largest(a, b) {
  let d = a.length === b.length ? 0 : Infinity;
  for (let i = 0; i < a.length; i++) d = Math.max(d, Number.isFinite(a[i]) ? Math.abs(a[i] - b[i]) : Infinity);
  return d;
}

async function open(model, level) {
  return ort.InferenceSession.create(model, { executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4,
    graphOptimizationLevel: level ?? 'all' });
}

for (const job of JSON.parse(fs.readFileSync(process.argv[2]))) {
  try {
    const session = await open(job.model, job.level);
    const later = job.later ? await open(job.later, job.level) : undefined;
    const fixed = {};
    if (job.encoder) {
      const encoder = await open(job.encoder, job.level), shape = job.features;
      let seed = 7;
      const noise = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (seed = (seed * 48271) % 2147483647) / 2147483647 * 2 - 1);
      const states = await encoder.run({ [encoder.inputNames[0]]: new ort.Tensor('float32', noise, shape) });
      for (const name of new Set([...session.inputNames, ...(later ?? session).inputNames])) {
        const from = name === 'encoder_hidden_states' ? 'last_hidden_state' : /^past_/.test(name) ? successor(name) : '';
        if (states[from]) fixed[name] = states[from];
      }
    }
    if (job.inputs) {   // no cache: one call, the first output
      const inputs = Object.fromEntries(Object.entries(job.inputs).map(([k, v]) => [k, integers('int64', v.flat(), [v.length, v[0].length])]));
      const outputs = await session.run(inputs), first = outputs[session.outputNames[0]];
      fs.writeFileSync(job.out, Buffer.from(first.data.buffer, first.data.byteOffset, first.data.byteLength));
      console.log(JSON.stringify({ model: job.model, shape: first.dims }));
      continue;
    }
    const whole = await new Sequence(session, fixed, later).all(job.ids, job.ids.length);
    const chunked = await new Sequence(session, fixed, later).all(job.ids, job.chunk);
    const stepped = await new Sequence(session, fixed, later).all(job.ids, 1);
    fs.writeFileSync(job.out, Buffer.from(whole.buffer));
    console.log(JSON.stringify({ model: job.model, chunked: largest(whole, chunked), stepped: largest(whole, stepped),
      padded: job.pad ? await padded(session, job.ids, job.pad) : 0 }));
  } catch (error) {
    console.log(JSON.stringify({ model: job.model, error: String(error.message ?? error).slice(0, 600) }));
  }
}
