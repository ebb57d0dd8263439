// A thread pool: `run` distributes the tasks 0 ... tasks - 1 and returns when all are done. An idle
// thread spins for a moment, since the next layer follows at once, and then sleeps, so that other
// programs and threads can use the CPU core. `run` does not wait for a thread that has not started,
// because the start may take long on a busy machine. `run` rethrows an exception of a task, such as
// lack of memory, once no thread is running a task.
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

class ThreadPool {
 public:
  explicit ThreadPool(int threads) : process_(getpid()) {
    const int extra = std::clamp(threads - 1, 0, MAX_THREADS);
    workers_.reserve(extra);
    try {
      for (int i = 1; i <= extra; i++) workers_.emplace_back([this, i] { worker_loop(i); });
    } catch (const std::exception &) {
      // The system has no more threads: those that exist do the work.
    }
    threads_ = 1 + int(workers_.size());
  }
  ~ThreadPool() {
    if (getpid() != process_) {  // a forked process has none of the threads
      for (auto &worker : workers_) worker.detach();
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto &worker : workers_) worker.join();
  }
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

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
    active_workers_.store(ACCEPTS_WORKERS, std::memory_order_release);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire)) wake_.notify_all();
    run_tasks(0);
    active_workers_.fetch_and(~ACCEPTS_WORKERS, std::memory_order_acq_rel);
    for (int spin = 0; active_workers_.load(std::memory_order_acquire) && spin < SPINS; spin++)
      pause();
    if (active_workers_.load(std::memory_order_acquire)) {  // a thread that runs a task was preempted
      std::unique_lock<std::mutex> lock(mutex_);
      waiting_ = true;
      done_.wait(lock, [&] { return active_workers_.load() == 0; });
      waiting_ = false;
    }
    if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
  }

  // Call this once per push: getpid is a system call and too slow for every layer.
  void detect_fork() { forked_ = getpid() != process_; }

 private:
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");
#endif
  }

  void run_tasks(int thread) {
    try {
      for (;;) {
        int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks_) return;
        call_(context_, task, thread);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      exception_ = std::current_exception();
    }
  }

  void worker_loop(int thread) {
    // A thread's first exception allocates memory, and without memory the process would be ended.
    try {
      throw 0;
    } catch (int) {
    }
    uint64_t seen = 0;
    for (;;) {
      for (int i = 0; generation_.load(std::memory_order_acquire) == seen && i < SPINS; i++) {
        pause();
        if (stopping_) return;
      }
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1);
        wake_.wait(lock, [&] { return stopping_ || generation_.load() != seen; });
        sleeping_.fetch_sub(1);
        if (stopping_) return;
      }
      seen = generation_.load(std::memory_order_acquire);
      uint32_t active = active_workers_.load(std::memory_order_relaxed);
      while (active & ACCEPTS_WORKERS)
        if (active_workers_.compare_exchange_weak(active, active + 1, std::memory_order_acq_rel)) {
          run_tasks(thread);
          // Sequentially consistent, as is `waiting_`: one thread sees the other's write.
          if (active_workers_.fetch_sub(1) == 1 && waiting_) {
            std::lock_guard<std::mutex> lock(mutex_);
            done_.notify_one();
          }
          break;
        }
    }
  }

  static constexpr int MAX_THREADS = 1024;
  static constexpr int SPINS = 1 << 12;  // about 0.1 ms, depending on the processor

  int threads_ = 1;
  const pid_t process_;
  bool forked_ = false;  // this process was forked and has none of the threads
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> generation_{0};  // number of calls of `run` that used the threads
  std::atomic<int64_t> next_{0};
  static constexpr uint32_t ACCEPTS_WORKERS = uint32_t(1) << 31;
  // Number of workers that run tasks, plus ACCEPTS_WORKERS while others may join them.
  std::atomic<uint32_t> active_workers_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> waiting_{false};  // `run` waits for the last threads
  std::atomic<bool> stopping_{false};
  void (*call_)(void *, int64_t, int) = nullptr;
  void *context_ = nullptr;
  int64_t tasks_ = 0;
  std::exception_ptr exception_;  // a task of the current `run` raised it
};

}  // namespace hifigan
