// The command line of the tools that do not link LLVM: --name=value, --name value, flags and positional arguments.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ahm::tools {

/// What a tool takes. `value` empty: a flag. `help` is shown by --help.
struct OptionSpec {
  std::string name, value, help;
};

class Arguments {
public:
  Arguments(std::string tool, std::string overview, std::string positional, std::vector<OptionSpec> options);

  /// Parses; on --help prints it and exits 0; on a usage error prints one line and exits 2.
  void parse(int argc, char **argv);

  bool has(const std::string &name) const { return values.count(name) != 0; }
  std::string text(const std::string &name, const std::string &fallback = "") const;
  /// A usage error (exit 2) when the text is not a number in [low, high].
  int64_t number(const std::string &name, int64_t fallback, int64_t low, int64_t high) const;
  double real(const std::string &name, double fallback) const;
  /// "on" or "off".
  bool onOff(const std::string &name, bool fallback) const;
  std::vector<int64_t> numbers(const std::string &name) const;
  /// Those of one occurrence of an option that may be repeated.
  std::vector<int64_t> numbers(const std::string &name, const std::string &value) const;
  const std::vector<std::string> &all(const std::string &name) const;
  const std::vector<std::string> &positionals() const { return positional; }

  [[noreturn]] void usage(const std::string &message) const;
  [[noreturn]] void fail(const std::string &message) const; // exit 1

private:
  std::string tool, overview, positionalName;
  std::vector<OptionSpec> options;
  std::map<std::string, std::vector<std::string>> values;
  std::vector<std::string> positional;
};

} // namespace ahm::tools
