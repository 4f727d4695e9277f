// The line is drawn by a thread of its own, so that work that reports nothing for a while still shows its seconds.
#include "tools/Progress.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <sys/ioctl.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace ahm::tools {

using Clock = std::chrono::steady_clock;

struct Progress::State {
  std::mutex mutex;
  std::condition_variable changed;
  bool ended = false, drawn = false;
  std::string tool, what;
  int64_t done = 0, total = 0;
  Clock::time_point begin = Clock::now();
  std::thread thread;

  /// Needs the lock. Longer text than the terminal is wide would wrap and could not be erased, so it is cut.
  void draw() {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, ", %.1f s", std::chrono::duration<double>(Clock::now() - begin).count());
    std::string line = tool + ": " + what;
    if (total > 0)
      line += " " + std::to_string(done) + " of " + std::to_string(total);
    line += seconds;
    winsize size{};
    size_t width = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    if (line.size() >= width)
      line.resize(width - 1);
    std::fprintf(stderr, "\r%s\033[K", line.c_str());
    std::fflush(stderr);
    drawn = true;
  }

  void run() {
    std::unique_lock<std::mutex> lock(mutex);
    auto next = begin + std::chrono::seconds(1);
    while (!changed.wait_until(lock, next, [&] { return ended; })) {
      if (!what.empty())
        draw();
      next = Clock::now() + std::chrono::milliseconds(100);
    }
  }

  void end() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (ended)
        return;
      ended = true;
    }
    changed.notify_all();
    thread.join();
    if (drawn) {
      std::fputs("\r\033[K", stderr);
      std::fflush(stderr);
    }
  }
};

Progress *Progress::current = nullptr;

Progress::Progress(std::string tool) {
  if (!::isatty(STDERR_FILENO))
    return;
  state = std::make_unique<State>();
  state->tool = std::move(tool);
  state->thread = std::thread([this] { state->run(); });
  current = this;
}

Progress::~Progress() {
  if (current == this)
    end();
}

void Progress::show(const std::string &what, int64_t done, int64_t total) {
  if (!state)
    return;
  std::lock_guard<std::mutex> lock(state->mutex);
  state->what = what;
  state->done = done;
  state->total = total;
}

void Progress::end() {
  if (!current)
    return;
  current->state->end();
  current = nullptr;
}

} // namespace ahm::tools
