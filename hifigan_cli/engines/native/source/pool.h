// Threads that wait for work: `run` hands out the numbers 0 ... tasks - 1 and returns when all are
// done. A thread that has nothing to do spins for a moment, since the next layer follows at once,
// and then sleeps: if another program or thread needs a processor, it gets this one. Nobody waits
// for a thread that has not begun: on a busy machine it may be long in coming. What a task throws,
// for want of memory, `run` throws, once no thread is at work any more.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace hifigan {

class Pool {
 public:
  explicit Pool(int threads) : process_(getpid()) {
    const int more = std::clamp(threads - 1, 0, MOST_THREADS);
    workers_.reserve(more);
    try {
      for (int i = 1; i <= more; i++) workers_.emplace_back([this, i] { serve(i); });
    } catch (const std::exception &) {
      // The system has no more to give: those that there are do the work.
    }
    threads_ = 1 + int(workers_.size());
  }
  ~Pool() {
    if (getpid() != process_) {  // a fork has no threads to end
      for (auto &worker : workers_) worker.detach();
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ending_ = true;
    }
    wake_.notify_all();
    for (auto &worker : workers_) worker.join();
  }
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  int threads() const { return threads_; }

  // Calls `work(task, thread)` for every task.
  template <class Work>
  void run(int64_t tasks, Work &&work) {
    if (threads_ == 1 || tasks <= 1 || forked_) {
      for (int64_t task = 0; task < tasks; task++) work(task, 0);
      return;
    }
    call_ = [](void *context, int64_t task, int thread) {
      (*static_cast<std::remove_reference_t<Work> *>(context))(task, thread);
    };
    context_ = &work;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    gate_.store(OPEN, std::memory_order_release);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      round_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire)) wake_.notify_all();
    take(0);
    gate_.fetch_and(~OPEN, std::memory_order_acq_rel);
    for (int spin = 0; gate_.load(std::memory_order_acquire) && spin < SPINS; spin++) pause();
    if (gate_.load(std::memory_order_acquire)) {  // a thread at work has lost its processor
      std::unique_lock<std::mutex> lock(mutex_);
      waiting_ = true;
      done_.wait(lock, [&] { return gate_.load() == 0; });
      waiting_ = false;
    }
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

  // To be called once a call from outside, not in every layer: it is a system call.
  void notice_fork() { forked_ = getpid() != process_; }

 private:
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
  }

  void take(int thread) {
    try {
      for (;;) {
        int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks_) return;
        call_(context_, task, thread);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      thrown_ = std::current_exception();
    }
  }

  void serve(int thread) {
    // The first exception of a thread wants memory, and the system ends a process that has none.
    try {
      throw 0;
    } catch (int) {
    }
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; round_.load(std::memory_order_acquire) == seen && spin < SPINS; spin++) {
        pause();
        if (ending_) return;
      }
      if (round_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1);
        wake_.wait(lock, [&] { return ending_ || round_.load() != seen; });
        sleeping_.fetch_sub(1);
        if (ending_) return;
      }
      seen = round_.load(std::memory_order_acquire);
      uint32_t gate = gate_.load(std::memory_order_relaxed);
      while (gate & OPEN)
        if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
          take(thread);
          // Sequentially consistent, as is `waiting_`: one of the two sees what the other wrote.
          if (gate_.fetch_sub(1) == 1 && waiting_) {
            std::lock_guard<std::mutex> lock(mutex_);
            done_.notify_one();
          }
          break;
        }
    }
  }

  static constexpr int MOST_THREADS = 1024;
  static constexpr int SPINS = 1 << 12;  // some 0.1 ms, depending on the processor

  int threads_ = 1;
  const pid_t process_;
  bool forked_ = false;  // this process has none of the threads
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> round_{0};
  std::atomic<int64_t> next_{0};
  static constexpr uint32_t OPEN = uint32_t(1) << 31;
  std::atomic<uint32_t> gate_{0};  // OPEN while tasks are handed out, plus the threads at work
  std::atomic<int> sleeping_{0};
  std::atomic<bool> waiting_{false};  // `run`, for the last threads at work
  std::atomic<bool> ending_{false};
  void (*call_)(void *, int64_t, int) = nullptr;
  void *context_ = nullptr;
  int64_t tasks_ = 0;
  std::exception_ptr thrown_;  // by a task of this round
};

}  // namespace hifigan
