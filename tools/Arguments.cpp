// Command-line parsing for the run-time tools.
#include "tools/Arguments.h"
#include "tools/Progress.h"

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace ahm::tools {

Arguments::Arguments(std::string tool, std::string overview, std::string positional, std::vector<OptionSpec> options)
    : tool(std::move(tool)), overview(std::move(overview)), positionalName(std::move(positional)),
      options(std::move(options)) {}

void Arguments::usage(const std::string &message) const {
  Progress::end();
  std::fprintf(stderr, "%s: %s (see %s --help)\n", tool.c_str(), message.c_str(), tool.c_str());
  std::exit(2);
}

void Arguments::fail(const std::string &message) const {
  Progress::end();
  std::fprintf(stderr, "%s: error: %s\n", tool.c_str(), message.c_str());
  std::exit(1);
}

void Arguments::parse(int argc, char **argv) {
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::printf("%s\n\nUsage: %s %s [options]\n\nOptions\n", overview.c_str(), tool.c_str(), positionalName.c_str());
      for (const OptionSpec &option : options) {
        std::string left = "--" + option.name + (option.value.empty() ? "" : "=" + option.value);
        std::printf("  %-30s %s\n", left.c_str(), option.help.c_str());
      }
      std::exit(0);
    }
    if (argument.rfind("--", 0) != 0) {
      positional.push_back(argument);
      continue;
    }
    size_t equals = argument.find('=');
    std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const OptionSpec *spec = nullptr;
    for (const OptionSpec &option : options)
      if (option.name == name)
        spec = &option;
    if (!spec)
      usage("unknown option --" + name);
    if (spec->value.empty()) {
      if (equals != std::string::npos)
        usage("--" + name + " takes no value");
      values[name].push_back("");
    } else if (equals != std::string::npos) {
      values[name].push_back(argument.substr(equals + 1));
    } else if (i + 1 < argc) {
      values[name].push_back(argv[++i]);
    } else {
      usage("--" + name + " needs a value: " + spec->value);
    }
  }
}

std::string Arguments::text(const std::string &name, const std::string &fallback) const {
  auto found = values.find(name);
  return found == values.end() ? fallback : found->second.back();
}

static bool parseNumber(const std::string &text, int64_t &value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

int64_t Arguments::number(const std::string &name, int64_t fallback, int64_t low, int64_t high) const {
  if (!has(name))
    return fallback;
  int64_t value = 0;
  if (!parseNumber(text(name), value) || value < low || value > high)
    usage("--" + name + " takes a number from " + std::to_string(low) + " to " + std::to_string(high) + ", not '" +
          text(name) + "'");
  return value;
}

double Arguments::real(const std::string &name, double fallback) const {
  if (!has(name))
    return fallback;
  char *end = nullptr;
  std::string value = text(name);
  double result = std::strtod(value.c_str(), &end);
  if (value.empty() || *end)
    usage("--" + name + " takes a number, not '" + value + "'");
  return result;
}

bool Arguments::onOff(const std::string &name, bool fallback) const {
  if (!has(name))
    return fallback;
  std::string value = text(name);
  if (value != "on" && value != "off")
    usage("--" + name + " takes on or off, not '" + value + "'");
  return value == "on";
}

std::vector<int64_t> Arguments::numbers(const std::string &name) const {
  return has(name) ? numbers(name, text(name)) : std::vector<int64_t>();
}

std::vector<int64_t> Arguments::numbers(const std::string &name, const std::string &value) const {
  std::vector<int64_t> result;
  for (size_t begin = 0; begin <= value.size();) {
    size_t comma = std::min(value.find(',', begin), value.size());
    int64_t number = 0;
    if (!parseNumber(value.substr(begin, comma - begin), number))
      usage("--" + name + " takes numbers separated by commas, not '" + value + "'");
    result.push_back(number);
    begin = comma + 1;
  }
  return result;
}

const std::vector<std::string> &Arguments::all(const std::string &name) const {
  static const std::vector<std::string> none;
  auto found = values.find(name);
  return found == values.end() ? none : found->second;
}

} // namespace ahm::tools
