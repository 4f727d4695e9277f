// One line on a terminal that says what a tool is doing once that takes more than a second. It goes to standard error,
// only when that is a terminal, and is gone when the tool goes on: pipes and log files never see it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace ahm::tools {

/// Shown from one second after its construction until end() or its destruction. One at a time; show() from any thread.
class Progress {
public:
  /// `tool` opens the line.
  explicit Progress(std::string tool);
  ~Progress();
  Progress(const Progress &) = delete;
  Progress &operator=(const Progress &) = delete;

  /// What is being done from now on; shown with the seconds since construction, `done` of `total` where the latter is
  /// known.
  void show(const std::string &what, int64_t done = 0, int64_t total = 0);

  /// Erases the line for good, if there is one: call before anything else is written to standard error or output, on
  /// the thread that made the object.
  static void end();

private:
  struct State;
  std::unique_ptr<State> state; // null when standard error is no terminal
  static Progress *current;
};

} // namespace ahm::tools
