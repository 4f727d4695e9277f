// The ONNX importer on small models written by hand: the form of the result and the errors. Models are encoded with a
// few lines of protobuf wire format, so that broken ones can be written too.
#include "compiler/Import/Import.h"
#include "dialects/Onnx/Onnx.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

using namespace ahm;

namespace {

//===-- Encoding
//----------------------------------------------------------------------------------------------------===//

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7)
    bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string number(unsigned field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(unsigned field, const std::string &value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
std::string float32(unsigned field, float value) {
  return varint(field << 3 | 5) + std::string(reinterpret_cast<const char *>(&value), 4);
}

enum { kFloat = 1, kInt8 = 3, kInt64 = 7, kString = 8, kBool = 9, kDouble = 11 };

/// A ValueInfoProto; a dimension is a number or a parameter's name.
std::string value(const std::string &name, int type, const std::vector<std::string> &dims) {
  std::string shape;
  for (const std::string &dim : dims)
    shape += bytes(1, isdigit(dim[0]) ? number(1, std::stoull(dim)) : bytes(2, dim));
  return bytes(1, name) + bytes(2, bytes(1, number(1, type) + bytes(2, shape)));
}
std::string intAttribute(const std::string &name, int64_t i) {
  return bytes(5, bytes(1, name) + number(3, i) + number(20, 2));
}
std::string graphAttribute(const std::string &name, const std::string &graph) {
  return bytes(5, bytes(1, name) + bytes(6, graph) + number(20, 5));
}
std::string node(const std::string &type, const std::vector<std::string> &inputs,
                 const std::vector<std::string> &outputs, const std::string &attributes = "",
                 const std::string &domain = "") {
  std::string result;
  for (const std::string &input : inputs)
    result += bytes(1, input);
  for (const std::string &output : outputs)
    result += bytes(2, output);
  result += bytes(3, "node_" + (outputs.empty() ? "" : outputs[0])) + bytes(4, type) + attributes;
  if (!domain.empty())
    result += bytes(7, domain);
  return bytes(1, result);
}
std::string tensor(const std::string &name, int type, const std::vector<int64_t> &dims, const std::string &fields) {
  std::string result;
  for (int64_t dim : dims)
    result += number(1, dim);
  return result + number(2, type) + bytes(8, name) + fields;
}
std::string raw(const std::string &data) { return bytes(9, data); }
std::string external(const std::string &location, const std::string &offset, const std::string &length) {
  auto entry = [](const std::string &key, const std::string &value) {
    return bytes(13, bytes(1, key) + bytes(2, value));
  };
  return entry("location", location) + entry("offset", offset) + entry("length", length) + number(14, 1);
}
std::string initializer(const std::string &tensor) { return bytes(5, tensor); }
std::string input(const std::string &info) { return bytes(11, info); }
std::string output(const std::string &info) { return bytes(12, info); }
std::string model(const std::string &graph, int opset = 17, const std::string &more = "") {
  return number(1, 8) + bytes(8, bytes(1, "") + number(2, opset)) + bytes(8, bytes(1, "com.microsoft") + number(2, 1)) +
         more + bytes(7, bytes(2, "g") + graph);
}
/// A graph x[n,4] -> y around `nodes`.
std::string around(const std::string &nodes) {
  return nodes + input(value("x", kFloat, {"n", "4"})) + output(value("y", kFloat, {"n", "4"}));
}

//===-- Running
//-----------------------------------------------------------------------------------------------------===//

class ImportTest : public ::testing::Test {
protected:
  ImportTest()
      : handler(&context, [this](mlir::Diagnostic &diagnostic) {
          messages += diagnostic.str() + "\n";
          return mlir::success();
        }) {}

  void SetUp() override {
    folder = std::filesystem::temp_directory_path() /
             ("ahm-import-" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::string write(const std::string &name, const std::string &data) {
    std::ofstream(folder / name, std::ios::binary) << data;
    return (folder / name).string();
  }
  mlir::OwningOpRef<mlir::ModuleOp> run(const std::string &data, bool timingOnly = false) {
    ImportOptions options;
    options.timingOnly = timingOnly;
    return importOnnx(context, {write("m.onnx", data)}, options);
  }
  std::string print(const mlir::OwningOpRef<mlir::ModuleOp> &module) {
    std::string text;
    llvm::raw_string_ostream os(text);
    if (module)
      module.get().print(os);
    return text;
  }
  /// Expects an error whose text holds all of `parts`.
  void expectError(const std::string &data, const std::vector<std::string> &parts) {
    messages.clear();
    EXPECT_FALSE(run(data));
    for (const std::string &part : parts)
      EXPECT_NE(messages.find(part), std::string::npos) << "no '" << part << "' in: " << messages;
  }
  void expectText(const std::string &text, const std::string &part) {
    EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text << messages;
  }

  mlir::MLIRContext context;
  std::string messages;
  mlir::ScopedDiagnosticHandler handler;
  std::filesystem::path folder;
};

std::string floats(size_t count) {
  std::string data(count * 4, '\0');
  for (size_t i = 0; i < count; ++i) {
    float value = static_cast<float>(i);
    std::memcpy(&data[i * 4], &value, 4);
  }
  return data;
}

TEST_F(ImportTest, ArgumentsResultsAndSmallConstants) {
  std::string text = print(run(model(
      around(initializer(tensor("b", kFloat, {2}, float32(4, 1) + float32(4, 2))) + node("Add", {"x", "b"}, {"y"})))));
  expectText(text, "func.func @m(%arg0: tensor<?x4xf32> {onnx.dims = [\"n\", 4], onnx.name = \"x\"})");
  expectText(text, "onnx.name = \"y\"");
  expectText(text, "onnx.opset = 17 : i64");
  expectText(text, "onnx.Constant dense<[1.000000e+00, 2.000000e+00]> : tensor<2xf32>");
}

TEST_F(ImportTest, LargeInitializerRefersToItsBytes) {
  for (bool packed : {false, true}) {
    std::string data = floats(100);
    std::string encoded = model(around(initializer(tensor("w", kFloat, {25, 4}, packed ? bytes(4, data) : raw(data))) +
                                       node("Add", {"x", "w"}, {"y"})));
    auto module = run(encoded);
    ASSERT_TRUE(module) << messages;
    auto weights = module->getOps<onnx::WeightOp>();
    ASSERT_FALSE(weights.empty());
    onnx::WeightOp weight = *weights.begin();
    EXPECT_EQ(weight.getSymName(), "w");
    EXPECT_EQ(weight.getFile(), (folder / "m.onnx").string());
    EXPECT_EQ(weight.getOffset(), encoded.find(data));
    EXPECT_EQ(weight.getLength(), 400u);
  }
}

TEST_F(ImportTest, SeveralGraphsPrefixTheirWeights) {
  std::string encoded =
      model(around(initializer(tensor("w", kFloat, {25, 4}, raw(floats(100)))) + node("Add", {"x", "w"}, {"y"})));
  std::string text = print(importOnnx(context, {write("enc-1.onnx", encoded), write("dec.onnx", encoded)}));
  expectText(text, "onnx.Weight @\"enc_1::w\"");
  expectText(text, "onnx.Weight @\"dec::w\"");
  expectText(text, "func.func @enc_1(");
}

TEST_F(ImportTest, AnyAcyclicOrder) {
  std::string text =
      print(run(model(around(node("Neg", {"b"}, {"y"}) + node("Neg", {"a"}, {"b"}) + node("Abs", {"x"}, {"a"})))));
  expectText(text, "onnx.Abs(%arg0)");
  expectError(model(around(node("Neg", {"b"}, {"y"}) + node("Neg", {"y"}, {"b"}))), {"cycle", "node_y"});
}

TEST_F(ImportTest, BranchesUseOuterValues) {
  auto branch = [](const std::string &type, const std::string &name) {
    return node(type, {"x"}, {name}) + output(value(name, kFloat, {"n", "4"}));
  };
  std::string text = print(run(model(around(
      node("If", {"c"}, {"y"},
           graphAttribute("then_branch", branch("Neg", "t")) + graphAttribute("else_branch", branch("Abs", "e"))) +
      input(value("c", kBool, {"1"}))))));
  expectText(text, "onnx.If(%arg");
  expectText(text, "onnx.Yield");
  expectText(text, "onnx.Abs(%arg");
}

TEST_F(ImportTest, ElementTypesAreInferred) {
  std::string text = print(
      run(model(around(node("Shape", {"x"}, {"s"}) + node("Cast", {"s"}, {"f"}, intAttribute("to", kFloat)) +
                       node("Greater", {"x", "x"}, {"g"}) + node("DynamicQuantizeLinear", {"x"}, {"q", "qs", "qz"}) +
                       node("Where", {"g", "x", "x"}, {"w"}) + node("Add", {"w", "f"}, {"y"})))));
  expectText(text, "-> tensor<*xi64>");
  expectText(text, "-> tensor<*xi1>");
  expectText(text, "-> (tensor<*xui8>, tensor<*xf32>, tensor<*xui8>)");
}

TEST_F(ImportTest, AbsentOptionalInputs) {
  std::string text =
      print(run(model(around(node("Clip", {"x", "", "x"}, {"a"}) + node("Clip", {"a", "", ""}, {"y"})))));
  expectText(text, "onnx.None : none");
  expectText(text, "(tensor<?x4xf32>, none, tensor<?x4xf32>)");
  expectText(text, "onnx.Clip(%1) :");
}

TEST_F(ImportTest, LocalFunctionsAreInlined) {
  std::string reference = bytes(5, bytes(1, "axis") + bytes(21, "dim") + number(20, 2));
  std::string function = bytes(1, "Twice") + bytes(4, "a") + bytes(5, "b") + bytes(6, "dim");
  for (const std::string &n : {node("Softmax", {"a"}, {"c"}, reference), node("Add", {"c", "a"}, {"b"})})
    function += bytes(7, n.substr(2)); // A function's nodes are field 7; n is field 1 with a one-byte length.
  function += bytes(10, "local");
  std::string text =
      print(run(model(around(node("Twice", {"x"}, {"y"}, intAttribute("dim", 1), "local")), 17, bytes(25, function))));
  expectText(text, "onnx.Softmax(%arg0) {axis = 1 : i64}");
  expectText(text, "onnx.Add(");
}

TEST_F(ImportTest, Float64IsDemotedWithAWarning) {
  double value64 = 2.5;
  std::string data(reinterpret_cast<const char *>(&value64), 8);
  std::string text =
      print(run(model(around(initializer(tensor("d", kDouble, {}, raw(data))) + node("Add", {"x", "d"}, {"y"})))));
  expectText(text, "dense<2.500000e+00> : tensor<f32>");
  expectText(messages, "float64");
}

TEST_F(ImportTest, ExternalData) {
  auto graph = [](const std::string &location, const std::string &offset) {
    return model(around(initializer(tensor("w", kFloat, {25, 4}, external(location, offset, "400"))) +
                        node("Add", {"x", "w"}, {"y"})));
  };
  expectError(graph("w.bin", "0"), {"tensor 'w'", "w.bin", "--timing-only"});
  expectText(print(run(graph("w.bin", "0"), /*timingOnly=*/true)), "in \"\" at 0 size 400");
  write("w.bin", std::string(464, 'w'));
  expectText(print(run(graph("w.bin", "64"))), "at 64 size 400");
  expectError(graph("w.bin", "65"), {"tensor 'w'", "past the end", "464"});
  expectError(graph("../w.bin", "0"), {"tensor 'w'", "outside the model's folder"});
  expectError(graph("/w.bin", "0"), {"outside the model's folder"});
  expectError(graph("w.bin", "-1"), {"offset '-1'"});
}

TEST_F(ImportTest, ErrorsNameNodeOperatorDomainOpsetAndRemedy) {
  expectError(model(around(node("MatMuI", {"x", "x"}, {"y"}))),
              {"node_y", "MatMuI", "ai.onnx", "opset 17", "ai.onnx::MatMul"});
  expectError(model(around(node("MatMulNBits", {"x", "x", "x"}, {"y"}))), {"com.microsoft::MatMulNBits"});
  expectError(model(around(node("LSTM", {"x"}, {"y"}))), {"not supported", "decomposed"});
  expectError(model(around(node("Neg", {"x"}, {"y"}, "", "my.ops"))), {"my.ops", "ai.onnx::Neg"});
  expectError(model(around(node("Neg", {"x"}, {"y"})), 25), {"opset 25", "24"});
  expectError(model(around(node("Gelu", {"x"}, {"y"}))), {"opset 17", "20 to 24"});
  expectError(model(around(node("Neg", {"x"}, {"y"}, intAttribute("axis", 1)))), {"attribute 'axis'", "none"});
  expectError(model(around(node("Add", {"x", "x"}, {"y"}, intAttribute("broadcast", 1)))),
              {"node_y", "opset 17", "attribute 'broadcast'", "opsets 1 to 6"});
  expectError(model(around(node("Transpose", {"x"}, {"y"}, intAttribute("perm", 1)))),
              {"attribute 'perm'", "wrong kind"});
  expectError(model(around(node("Cast", {"x"}, {"y"}, intAttribute("to", kString)))), {"STRING", "node_y"});
  expectError(model(around(node("Neg", {"z"}, {"y"}))), {"'z'", "node_y"});
  expectError(model(around(node("Neg", {"x"}, {"y"}) + node("Abs", {"x"}, {"y"}))), {"'y'", "unique"});
  expectError(model(around(node("MatMul", {"x"}, {"y"}))), {"1 inputs", "takes 2"});
  expectError(model(node("Neg", {"x"}, {"y"}) + input(value("x", kString, {"1"})) + output(value("y", kString, {"1"}))),
              {"'x'", "STRING"});
  expectError(model(around(initializer(tensor("w", kFloat, {25, 4}, raw("short"))) + node("Add", {"x", "w"}, {"y"}))),
              {"tensor 'w'", "5 bytes", "400"});
  expectError(
      model(around(initializer(tensor("w", kFloat, {INT64_MAX, 4}, raw("short"))) + node("Add", {"x", "w"}, {"y"}))),
      {"tensor 'w'", "impossible shape"});
}

TEST_F(ImportTest, BrokenFilesAreRefused) {
  std::string whole =
      model(around(initializer(tensor("b", kFloat, {2}, raw(floats(2)))) + node("Add", {"x", "b"}, {"y"})));
  for (size_t length = 0; length < whole.size(); ++length) {
    messages.clear();
    EXPECT_FALSE(run(whole.substr(0, length))) << "cut at " << length;
    EXPECT_NE(messages, "") << "cut at " << length;
  }
  // Whatever a changed byte does, it must be a module or a message.
  for (size_t at = 0; at < whole.size(); ++at)
    for (int change : {0x01, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      messages.clear();
      auto module = importOnnxBuffer(context, changed, "m.onnx");
      EXPECT_TRUE(module || !messages.empty()) << "byte " << at;
    }
  messages.clear();
  EXPECT_FALSE(importOnnx(context, {(folder / "absent.onnx").string()}));
  expectText(messages, "absent.onnx");
  EXPECT_FALSE(importOnnx(context, {folder.string()}));
}

TEST(OperatorTable, IsSortedAndPrints) {
  llvm::ArrayRef<onnx::OperatorInfo> table = onnx::getOperatorTable();
  EXPECT_GT(table.size(), 120u);
  EXPECT_TRUE(onnx::findOperator("ai.onnx", "MatMul"));
  EXPECT_TRUE(onnx::findOperator("com.microsoft", "GroupQueryAttention"));
  EXPECT_FALSE(onnx::findOperator("", "GroupQueryAttention"));
  for (const onnx::OperatorInfo &info : table)
    EXPECT_EQ(onnx::findOperator(info.domain, info.name), &info);
  std::string text;
  llvm::raw_string_ostream os(text);
  onnx::printOperatorTable(os, [](const onnx::OperatorInfo &info) { return info.name == "MatMul"; });
  EXPECT_NE(text.find("| MatMul | ai.onnx | 1 to 24 | yes | 2 | 1 |"), std::string::npos) << text;
  EXPECT_NE(text.find("starts (1 to 9)"), std::string::npos);
  const onnx::OperatorInfo *clip = onnx::findOperator("", "Clip");
  EXPECT_EQ(onnx::attributeOpsets(*clip, "max").lastOpset, 10);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), static_cast<long>(table.size()) + 2);
}

} // namespace
