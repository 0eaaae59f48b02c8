#include "core/base/worker_pool.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>

namespace wherry {

namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStackBytes = 2 << 20;
#else
constexpr size_t kStackBytes = 256 << 10;
#endif
constexpr std::chrono::seconds kIdleLimit{10};

}  // namespace

struct WorkerPool::State : std::enable_shared_from_this<State> {
  explicit State(size_t max) : max_threads(max) {}

  const size_t max_threads;
  std::mutex mutex;
  std::condition_variable wake;      // a task was queued, or the pool is closing
  std::condition_variable finished;  // a thread ended
  std::deque<Task> queue;
  size_t threads = 0;
  size_t idle = 0;
  bool closing = false;

  bool StartThread();
  void Work();
  static void* ThreadMain(void* argument);
};

// The mutex is held. Workers take no signals: those belong to the loop.
bool WorkerPool::State::StartThread() {
  sigset_t blocked;
  sigset_t previous;
  sigfillset(&blocked);
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) {
    sigdelset(&blocked, fault);
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  auto argument = std::make_unique<std::shared_ptr<State>>(shared_from_this());
  pthread_sigmask(SIG_SETMASK, &blocked, &previous);
  pthread_t thread;
  bool started = pthread_create(&thread, &attributes, &ThreadMain, argument.get()) == 0;
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  pthread_attr_destroy(&attributes);
  if (started) {
    ++threads;
    (void)argument.release();  // ThreadMain owns it now
  }
  return started;
}

void* WorkerPool::State::ThreadMain(void* argument) {
  std::unique_ptr<std::shared_ptr<State>> state(static_cast<std::shared_ptr<State>*>(argument));
  pthread_setname_np(pthread_self(), "wherry-worker");
  (*state)->Work();
  return nullptr;
}

void WorkerPool::State::Work() {
  std::unique_lock lock(mutex);
  for (;;) {
    ++idle;
    bool woken = wake.wait_for(lock, kIdleLimit, [this] { return closing || !queue.empty(); });
    --idle;
    if (closing || !woken) {
      break;
    }
    {
      Task task = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      task();
    }  // what the task holds is released without the lock
    lock.lock();
  }
  --threads;
  finished.notify_all();
}

WorkerPool::WorkerPool(size_t max_threads) : state_(std::make_shared<State>(max_threads)) {}

WorkerPool::~WorkerPool() {
  std::deque<Task> dropped;
  std::unique_lock lock(state_->mutex);
  state_->closing = true;
  dropped.swap(state_->queue);
  state_->wake.notify_all();
  state_->finished.wait(lock, [this] { return state_->threads == 0; });
}

void WorkerPool::Run(Task task) {
  std::unique_lock lock(state_->mutex);
  state_->queue.push_back(std::move(task));
  if (state_->queue.size() <= state_->idle) {
    state_->wake.notify_one();
    return;
  }
  if (state_->threads >= state_->max_threads || state_->StartThread() || state_->threads > 0) {
    return;
  }
  // No thread at all can be had: better late and blocking than never.
  Task stranded = std::move(state_->queue.back());
  state_->queue.pop_back();
  lock.unlock();
  stranded();
}

}  // namespace wherry
