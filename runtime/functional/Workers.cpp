// A pool: parts are taken from a counter, so that a slow thread does not hold up the others.
#include "runtime/functional/Workers.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace ahm::functional {
namespace {

class Workers {
public:
  ~Workers() {
    {
      std::lock_guard lock(mutex);
      ending = true;
    }
    wake.notify_all();
    for (std::thread &thread : threads)
      thread.join();
  }

  void run(int64_t wanted, int64_t parts, void (*work)(void *, int64_t), void *context) {
    if (busy.exchange(true)) { // another thread's job, or the one that this is a part of
      for (int64_t part = 0; part < parts; ++part)
        work(context, part);
      return;
    }
    std::unique_lock lock(mutex);
    try {
      while (static_cast<int64_t>(threads.size()) < wanted - 1)
        threads.emplace_back([this, number = static_cast<int64_t>(threads.size()) + 1] { serve(number); });
    } catch (const std::system_error &) {
      // The system gives no more: those that there are do all the work.
    }
    job = {work, context, parts, 0, parts, wanted};
    wake.notify_all();
    take(lock);
    done.wait(lock, [this] { return job.open == 0; });
    busy = false;
  }

private:
  struct Job {
    void (*work)(void *, int64_t) = nullptr;
    void *context = nullptr;
    int64_t parts = 0, next = 0, open = 0; // open: parts that are not complete
    int64_t threads = 0;
  };

  /// Does parts while there are some that nobody has begun.
  void take(std::unique_lock<std::mutex> &lock) {
    while (job.next < job.parts) {
      Job mine = job;
      ++job.next;
      lock.unlock();
      mine.work(mine.context, mine.next);
      lock.lock();
      if (--job.open == 0)
        done.notify_one();
    }
  }

  /// Thread `number`, from 1; the caller is 0.
  void serve(int64_t number) {
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [this, number] { return ending || (job.next < job.parts && number < job.threads); });
      if (ending)
        return;
      take(lock);
    }
  }

  std::atomic<bool> busy = false; // a job is under way
  std::mutex mutex;
  std::condition_variable wake, done;
  std::vector<std::thread> threads;
  Job job;
  bool ending = false;
};

} // namespace

void runParts(int64_t threads, int64_t parts, void (*work)(void *, int64_t), void *context) {
  static Workers workers;
  workers.run(threads, parts, work, context);
}

} // namespace ahm::functional
