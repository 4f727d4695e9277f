// Files and tokenizers of the session: round trips and bad inputs.
#include "runtime/program/Opcodes.h"
#include "runtime/program/Serialize.h"
#include "runtime/session/Convert.h"
#include "runtime/session/Files.h"
#include "runtime/session/Npy.h"
#include "runtime/session/Report.h"
#include "runtime/session/ReportText.h"
#include "runtime/session/Session.h"
#include "runtime/session/Tokenizer.h"
#include "runtime/session/Wav.h"
#include "test/unit/ProgramBuilder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <unistd.h>

using namespace ahm::session;

namespace {

std::string temporary(const std::string &name) {
  return testing::TempDir() + "/ahm-session-" + std::to_string(::getpid()) + "-" + name;
}

std::vector<uint8_t> wav(uint32_t rate, uint16_t channels, const std::vector<int16_t> &samples) {
  std::vector<uint8_t> file;
  auto put = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i)
      file.push_back(uint8_t(value >> 8 * i));
  };
  auto tag = [&](const char *text) { file.insert(file.end(), text, text + 4); };
  tag("RIFF");
  put(uint32_t(36 + samples.size() * 2), 4);
  tag("WAVE");
  tag("fmt ");
  put(16, 4);
  put(1, 2);
  put(channels, 2);
  put(rate, 4);
  put(rate * channels * 2, 4);
  put(channels * 2u, 2);
  put(16, 2);
  tag("data");
  put(uint32_t(samples.size() * 2), 4);
  for (int16_t sample : samples)
    put(uint16_t(sample), 2);
  return file;
}

TEST(Npy, RoundTrips) {
  for (const char *descr : {"f4", "i8", "i4", "b1", "u1"})
    for (const std::vector<int64_t> &dims : {std::vector<int64_t>{}, {3}, {2, 3}, {0, 4}, {1, 2, 3, 4}}) {
      NpyArray array{descr, dims, {}}, back;
      array.bytes.resize(size_t(array.elements()) * elementBytes(descr));
      for (size_t i = 0; i < array.bytes.size(); ++i)
        array.bytes[i] = uint8_t(i & 1);
      std::string path = temporary("a.npy"), error;
      ASSERT_TRUE(writeNpy(path, array, error)) << error;
      ASSERT_TRUE(readNpy(path, back, error)) << error;
      EXPECT_EQ(back.descr, descr);
      EXPECT_EQ(back.dims, dims);
      EXPECT_EQ(back.bytes, array.bytes);
      ::unlink(path.c_str());
    }
}

TEST(Npy, BadFilesAreErrors) {
  NpyArray array{"f4", {2, 2}, std::vector<uint8_t>(16)}, back;
  std::string path = temporary("b.npy"), error;
  ASSERT_TRUE(writeNpy(path, array, error));
  std::vector<uint8_t> file;
  ASSERT_TRUE(readFile(path, file, error));
  ::unlink(path.c_str());
  for (size_t length = 0; length < file.size(); ++length) {
    std::vector<uint8_t> cut(file.begin(), file.begin() + length);
    error.clear();
    EXPECT_FALSE(parseNpy(cut, "cut.npy", back, error));
    EXPECT_EQ(error.rfind("cut.npy: ", 0), 0u) << error;
  }
  for (size_t at = 0; at < file.size(); ++at)
    for (uint8_t value : {0, 39, 40, 41, 57, 255}) {
      std::vector<uint8_t> damaged = file;
      damaged[at] = value;
      parseNpy(damaged, "damaged.npy", back, error); // must not crash
    }
  EXPECT_FALSE(readNpy("/nonexistent/x.npy", back, error));
  EXPECT_NE(error.find("/nonexistent/x.npy"), std::string::npos);
  EXPECT_FALSE(writeNpy("/nonexistent/x.npy", array, error));
}

TEST(Convert, NumbersThatDoNotFitAreErrors) {
  ahm::program::Binding binding;
  binding.name = "x";
  binding.operand.dtype = ahm::program::DType::I32;
  binding.dtype = "uint16";
  uint8_t host[8];
  std::string error;
  NpyArray array{"i4", {1}, {0xff, 0xff, 0, 0}};
  EXPECT_TRUE(storeTensor(binding, array, host, error)) << error;
  array.bytes = {0, 0, 1, 0};
  EXPECT_FALSE(storeTensor(binding, array, host, error));
  EXPECT_NE(error.find("65536 does not fit uint16"), std::string::npos) << error;
  binding.dtype = "uint64";
  array = {"u8", {1}, std::vector<uint8_t>(8, 0xff)};
  EXPECT_FALSE(storeTensor(binding, array, host, error));
  EXPECT_NE(error.find("does not fit 32 bits"), std::string::npos) << error;
  array = {"f4", {1}, std::vector<uint8_t>(4)};
  EXPECT_FALSE(storeTensor(binding, array, host, error));
  EXPECT_NE(error.find("the model takes uint64"), std::string::npos) << error;
}

TEST(Wav, ReadsMonoAndStereo) {
  std::vector<float> samples;
  std::string error;
  ASSERT_TRUE(parseWav(wav(16000, 1, {0, 16384, -32768}), "m.wav", samples, error)) << error;
  EXPECT_EQ(samples, (std::vector<float>{0, 0.5f, -1}));
  ASSERT_TRUE(parseWav(wav(16000, 2, {16384, 0, -16384, -16384}), "s.wav", samples, error)) << error;
  EXPECT_EQ(samples, (std::vector<float>{0.25f, -0.5f}));
}

TEST(Wav, BadFilesAreErrors) {
  std::vector<float> samples;
  std::string error;
  EXPECT_FALSE(parseWav(wav(44100, 1, {0}), "r.wav", samples, error));
  EXPECT_NE(error.find("sox in.wav -r 16000 -c 1 out.wav"), std::string::npos) << error;
  EXPECT_FALSE(parseWav(wav(16000, 3, {0, 0, 0}), "c.wav", samples, error));
  std::vector<uint8_t> file = wav(16000, 1, {1, 2, 3});
  for (size_t length = 0; length < file.size(); ++length)
    EXPECT_FALSE(parseWav(std::vector<uint8_t>(file.begin(), file.begin() + length), "cut.wav", samples, error));
}

const char *kLlama =
    R"({"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>","special":true}],
 "model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{"<unk>":0,"<s>":1,"<0xC3>":2,"<0xA9>":3,
 "▁":4,"a":5,"b":6,"▁a":7,"ab":8,"▁ab":9},"merges":["▁ a",["a","b"],"▁a b"]}})";

TEST(Tokenizer, SentencePieceForm) {
  Tokenizer tokenizer;
  std::string error;
  ASSERT_TRUE(tokenizer.parse(kLlama, "t.json", error)) << error;
  std::vector<int64_t> ids;
  ASSERT_TRUE(tokenizer.encode("ab aé", ids, error)) << error;
  EXPECT_EQ(ids, (std::vector<int64_t>{9, 7, 2, 3}));
  EXPECT_EQ(tokenizer.decode({1, 9, 7, 2, 3}), "ab aé");
  ASSERT_TRUE(tokenizer.encode("<s>a", ids, error));
  EXPECT_EQ(ids, (std::vector<int64_t>{1, 7}));
  EXPECT_EQ(tokenizer.decode({99, -1}), "");
}

TEST(Tokenizer, ByteLevel) {
  const char *json =
      R"({"pre_tokenizer":{"type":"ByteLevel"},"added_tokens":[{"id":9,"content":"<end>","special":true}],
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġa":4,"Ã":5,"©":6,"'s":7,"'":8,"s":10},
    "merges":["a b","Ġ a","' s"]}})";
  Tokenizer tokenizer;
  std::string error;
  ASSERT_TRUE(tokenizer.parse(json, "t.json", error)) << error;
  std::vector<int64_t> ids;
  ASSERT_TRUE(tokenizer.encode("ab's  aé<end>", ids, error)) << error;
  EXPECT_EQ(ids, (std::vector<int64_t>{3, 7, 2, 4, 5, 6, 9}));
  EXPECT_EQ(tokenizer.decode(ids), "ab's  aé");
  EXPECT_FALSE(tokenizer.encode("z", ids, error));
}

TEST(Tokenizer, BadFilesAreErrors) {
  Tokenizer tokenizer;
  std::string error;
  for (const char *json :
       {"", "[]", "{", "{}", R"({"model":{}})", R"({"model":{"vocab":{"a":"x"},"merges":[]}})",
        R"({"model":{"vocab":{},"merges":[1]}})", R"({"added_tokens":[{}],"model":{"vocab":{},"merges":[]}})"}) {
    error.clear();
    EXPECT_FALSE(tokenizer.parse(json, "bad.json", error)) << json;
    EXPECT_EQ(error.rfind("bad.json: ", 0), 0u) << error;
  }
}

TEST(Session, MissingProgramIsAnError) {
  std::string error;
  EXPECT_EQ(Session::open("/nonexistent/p.ahm", {}, error), nullptr);
  EXPECT_NE(error.find("/nonexistent/p.ahm"), std::string::npos) << error;
}

/// A language model without weights: the id that follows n is n + 1. Vocabulary 16; ids of up to 4 tokens, positions of
/// up to 8 tokens, which stand for the context.
ahm::program::Program countingModel() {
  using namespace ahm::program;
  ahm::test::ProgramBuilder builder;
  Program &p = builder.program;
  p.versionMajor = kVersionMajor;
  p.versionMinor = kVersionMinor;
  std::string error;
  ahm::targets::Machine card;
  EXPECT_TRUE(ahm::targets::findMachine("corsair", card, p.machine, error)) << error;
  p.options = R"({"end_ids":[9]})";
  ExprId one = builder.constant(1), vocabulary = builder.constant(16), minusOne = builder.constant(-1);
  ExprId tokens = builder.value("tokens", 1, 4), total = builder.value("total", 1, 8);
  auto region = [&](const char *name, Tier tier, uint64_t offset, uint64_t bytes) {
    Region r;
    r.name = name;
    r.tier = tier;
    r.lifetime = tier == Tier::Host ? LifetimeClass::Io : LifetimeClass::Activation;
    r.offset = offset;
    r.bytes = bytes;
    return builder.addRegion(r);
  };
  uint32_t hostIds = region("ids", Tier::Host, 0, 64), hostMask = region("mask", Tier::Host, 64, 64),
           hostLogits = region("logits", Tier::Host, 128, 256), ids = region("ids", Tier::Stash, 0, 64),
           real = region("real", Tier::Stash, 64, 64), iota = region("iota", Tier::Stash, 128, 64),
           range = region("range", Tier::Stash, 192, 64), a = region("a", Tier::Stash, 256, 256),
           b = region("b", Tier::Stash, 512, 256), c = region("c", Tier::Stash, 768, 256);
  p.sources.push_back({"node", "Op"});
  for (bool decode : {false, true}) {
    ExprId rows = decode ? one : tokens;
    Entry entry;
    entry.name = decode ? "decode" : "prefill";
    auto add = [&](Opcode op, Queue queue, std::vector<Operand> ins, std::vector<Operand> outs,
                   std::vector<int64_t> ints, std::vector<uint32_t> waits) {
      Command command =
          ahm::test::makeCommand(op, queue, std::move(ins), std::move(outs), std::move(ints), std::move(waits));
      if (op == Opcode::Iota)
        command.exprs = {uint32_t(minusOne)};
      entry.commands.push_back(command);
    };
    auto view = [](uint32_t r, DType dtype, std::vector<ExprId> dims) {
      return Operand{r, dtype, -1, std::move(dims)};
    };
    add(Opcode::HostToStash, Queue::Host, {view(hostIds, DType::I32, {one, rows})},
        {view(ids, DType::I32, {one, rows})}, {}, {});
    add(Opcode::Cast, Queue::Vector, {view(ids, DType::I32, {one, rows})}, {view(real, DType::F32, {one, rows})}, {},
        {0});
    add(Opcode::Iota, Queue::Vector, {}, {view(iota, DType::I32, {vocabulary})}, {1}, {});
    add(Opcode::Cast, Queue::Vector, {view(iota, DType::I32, {vocabulary})}, {view(range, DType::F32, {vocabulary})},
        {}, {2});
    add(Opcode::Binary, Queue::Vector,
        {view(real, DType::F32, {one, rows, one}), view(range, DType::F32, {vocabulary})},
        {view(a, DType::F32, {one, rows, vocabulary})}, {int64_t(BinaryKind::Sub)}, {1, 3});
    add(Opcode::Unary, Queue::Vector, {view(a, DType::F32, {one, rows, vocabulary})},
        {view(b, DType::F32, {one, rows, vocabulary})}, {int64_t(UnaryKind::Abs)}, {4});
    add(Opcode::Unary, Queue::Vector, {view(b, DType::F32, {one, rows, vocabulary})},
        {view(c, DType::F32, {one, rows, vocabulary})}, {int64_t(UnaryKind::Neg)}, {5});
    add(Opcode::StashToHost, Queue::Host, {view(c, DType::F32, {one, rows, vocabulary})},
        {view(hostLogits, DType::F32, {one, rows, vocabulary})}, {}, {6});
    entry.inputs.push_back({"input_ids", "int64", "ids", view(hostIds, DType::I32, {one, rows})});
    entry.inputs.push_back({"attention_mask", "int64", "mask", view(hostMask, DType::I32, {one, total})});
    entry.outputs.push_back({"logits", "float32", "logits", view(hostLogits, DType::F32, {one, rows, vocabulary})});
    p.entries.push_back(entry);
  }
  return p;
}

TEST(Session, GeneratesUntilTheEndId) {
  auto bytes = ahm::program::serialize(countingModel());
  std::string path = temporary("count.ahm"), error;
  ASSERT_TRUE(writeFile(path, bytes.data(), bytes.size(), error)) << error;
  SessionOptions options;
  options.checkMemory = true;
  auto session = Session::open(path, options, error);
  ASSERT_TRUE(session) << error;
  ASSERT_TRUE(session->load(error)) << error;
  GenerateOptions request;
  request.count = 5;
  Generation result;
  ASSERT_TRUE(session->generate({3}, request, result, error)) << error;
  EXPECT_EQ(result.ids, (std::vector<int64_t>{4, 5, 6, 7, 8}));
  EXPECT_EQ(result.logits.size(), 5u * 16);
  EXPECT_EQ(session->calls().size(), 5u);
  for (const CallMetrics &call : session->calls()) {
    EXPECT_GT(call.latency, 0);
    EXPECT_LE(call.lowerBound, call.latency);
    EXPECT_GE(call.bound, call.latency);
    EXPECT_LE(call.lowerBound, call.predicted);
    EXPECT_GE(call.bound, call.predicted);
  }
  // Every output of the last call is there, by the model's name.
  ASSERT_EQ(result.outputs.count("logits"), 1u);
  EXPECT_EQ(result.outputs["logits"].dims, (std::vector<int64_t>{1, 1, 16}));
  EXPECT_EQ(std::memcmp(result.outputs["logits"].bytes.data(), &result.logits[4 * 16], 64), 0);
  result = {};
  ASSERT_TRUE(session->generate({6, 7}, request, result, error)) << error;
  EXPECT_EQ(result.ids, (std::vector<int64_t>{8, 9}));
  EXPECT_NE(session->metricsJson().find("\"roofline_peak_ps\""), std::string::npos);
  double perplexity = 0;
  int64_t predictions = 0;
  ASSERT_TRUE(session->score({1, 2, 3, 4}, perplexity, predictions, error)) << error;
  EXPECT_EQ(predictions, 3);
  EXPECT_GT(perplexity, 1);
  EXPECT_LT(perplexity, 3);
  // Too long a context is refused before any call and says what to do; the longest that fits runs.
  request.count = 20;
  request.ignoreEos = true;
  size_t before = session->calls().size();
  EXPECT_FALSE(session->generate({3}, request, result, error));
  EXPECT_NE(error.find("need a context of 20 tokens and the program takes 8"), std::string::npos) << error;
  EXPECT_NE(error.find("--max-context=20"), std::string::npos) << error;
  EXPECT_EQ(session->calls().size(), before);
  request.count = 8;
  EXPECT_TRUE(session->generate({3}, request, result, error)) << error;
  EXPECT_EQ(result.ids.size(), 8u);
  request.count = 9;
  EXPECT_FALSE(session->generate({3}, request, result, error));
  // Start ids begin the sequence, with a prompt and without one.
  request.count = 2;
  request.startIds = {1, 5};
  ASSERT_TRUE(session->generate({}, request, result, error)) << error;
  EXPECT_EQ(result.ids, (std::vector<int64_t>{6, 7}));
  ASSERT_TRUE(session->generate({3}, request, result, error)) << error;
  EXPECT_EQ(result.ids, (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(session->calls()[session->calls().size() - 2].tokens, 3);
  request.startIds.clear();
  EXPECT_FALSE(session->generate({}, request, result, error));
  EXPECT_FALSE(session->generate({int64_t(1) << 40}, request, result, error));
  EXPECT_FALSE(session->transcribe({0, 0}, request, result, error));
  ::unlink(path.c_str());
}

size_t count(const std::string &text, const std::string &part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

TEST(Session, ReportShowsEveryEntryAndStandsAlone) {
  ahm::program::Program program = countingModel();
  program.sources = {{"/model/layers.3/attn/<Mul>", "Mul"}};
  auto bytes = ahm::program::serialize(program);
  std::string path = temporary("report.ahm"), error;
  ASSERT_TRUE(writeFile(path, bytes.data(), bytes.size(), error)) << error;
  auto session = Session::open(path, {}, error);
  ::unlink(path.c_str());
  ASSERT_TRUE(session) << error;
  std::string empty = reportHtml(*session, "none");
  EXPECT_NE(empty.find("</html>"), std::string::npos);
  GenerateOptions request;
  request.count = 4;
  Generation result;
  ASSERT_TRUE(session->generate({3}, request, result, error)) << error;
  std::string page = reportHtml(*session, "a<b>&\"c\".ahm");
  for (const char *wanted :
       {"a&lt;b&gt;&amp;&quot;c&quot;.ahm", "<h2>prefill</h2>", "<h2>decode</h2>", "<td>/model/layers.3<",
        "/model/layers.3/attn/&lt;Mul&gt;", "Bytes moved", "static", "Placement", "corsair", "prefers-color-scheme"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
  for (const char *unwanted : {"<script", "http", "src=", "url(", "<Mul>", "nan", "inf"})
    EXPECT_EQ(page.find(unwanted), std::string::npos) << unwanted;
  for (const char *tag : {"table", "div", "details", "style", "main"})
    EXPECT_EQ(count(page, std::string("<") + tag), count(page, std::string("</") + tag + ">")) << tag;
  std::vector<EntrySummary> groups = summarizeCalls(session->calls());
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].entry, "prefill");
  EXPECT_EQ(groups[1].calls, 3);
  EXPECT_EQ(timeText(1.5e9), "1.500 ms");
}

TEST(Session, MetricsWithoutTimesAreNull) {
  auto bytes = ahm::program::serialize(countingModel());
  std::string path = temporary("untimed.ahm"), error;
  ASSERT_TRUE(writeFile(path, bytes.data(), bytes.size(), error)) << error;
  SessionOptions options;
  options.timing = false;
  auto session = Session::open(path, options, error);
  ASSERT_TRUE(session) << error;
  GenerateOptions request;
  request.count = 1;
  Generation result;
  ASSERT_TRUE(session->generate({3}, request, result, error)) << error;
  std::string metrics = session->metricsJson();
  for (const char *key : {"latency_ps", "predicted_ps", "bound_ps", "roofline_peak_ps", "energy_pj", "utilization"})
    EXPECT_NE(metrics.find("\"" + std::string(key) + "\": null"), std::string::npos) << key << metrics;
  ::unlink(path.c_str());
}

TEST(Session, TimesCallsWithoutValues) {
  auto bytes = ahm::program::serialize(countingModel());
  std::string path = temporary("timed.ahm"), error;
  ASSERT_TRUE(writeFile(path, bytes.data(), bytes.size(), error)) << error;
  SessionOptions options;
  options.functional = false;
  auto session = Session::open(path, options, error);
  ASSERT_TRUE(session) << error;
  GenerateOptions request;
  request.count = 3;
  request.contexts = {5};
  Generation result;
  ASSERT_TRUE(session->generate({}, request, result, error)) << error;
  ASSERT_EQ(session->calls().size(), 3u);
  EXPECT_EQ(session->calls()[2].context, 7);
  EXPECT_TRUE(result.ids.empty());
  ::unlink(path.c_str());
}

} // namespace
