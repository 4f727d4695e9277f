// Threads that share a command's work. They are started once and wait between commands.
#pragma once

#include <cstdint>

namespace ahm::functional {

/// Calls work(context, part) for every part in [0, parts), on this thread and up to threads - 1 others of the process;
/// returns when all are done. While another call is under way, this one does all its parts itself.
void runParts(int64_t threads, int64_t parts, void (*work)(void *context, int64_t part), void *context);

/// work(begin, end) over [0, n), in `pieces` parts for each thread. Too little work (in macs) stays on this thread.
template <typename Work> void parallel(int64_t threads, int64_t n, uint64_t macs, Work &&work, int64_t pieces = 1) {
  int64_t parts = threads * pieces < n ? threads * pieces : n;
  if (threads <= 1 || parts <= 1 || macs < (1u << 19)) {
    work(int64_t(0), n);
    return;
  }
  struct Job {
    Work &work;
    int64_t n, parts;
  } job{work, n, parts};
  runParts(
      threads, parts,
      [](void *context, int64_t part) {
        auto &job = *static_cast<Job *>(context);
        job.work(job.n * part / job.parts, job.n * (part + 1) / job.parts);
      },
      &job);
}

} // namespace ahm::functional
