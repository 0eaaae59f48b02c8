#include "core/base/worker_pool.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

namespace wherry {
namespace {

class Gate {
 public:
  void Open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [this] { return open_; }));
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST(WorkerPool, RunsEveryTask) {
  std::atomic<int> count = 0;
  Gate done;
  WorkerPool pool(3);
  for (int i = 0; i < 1000; ++i) {
    pool.Run([&] {
      if (++count == 1000) {
        done.Open();
      }
    });
  }
  done.Wait();
  EXPECT_EQ(count, 1000);
}

TEST(WorkerPool, NeverMoreThreadsThanAllowed) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> count = 0;
  Gate done;
  WorkerPool pool(2);
  for (int i = 0; i < 20; ++i) {
    pool.Run([&] {
      int now = ++running;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      --running;
      if (++count == 20) {
        done.Open();
      }
    });
  }
  done.Wait();
  EXPECT_EQ(most, 2);
}

TEST(WorkerPool, OneThreadServesTasksInTurn) {
  WorkerPool pool(3);
  std::set<pid_t> threads;
  for (int i = 0; i < 5; ++i) {
    Gate done;
    pool.Run([&] {
      threads.insert(gettid());
      done.Open();
    });
    done.Wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_EQ(threads.size(), 1u);
  EXPECT_FALSE(threads.contains(getpid()));
}

TEST(WorkerPool, DestructorWaitsForRunningAndDropsQueued) {
  std::atomic<bool> finished = false;
  std::atomic<bool> queued_ran = false;
  auto held = std::make_shared<int>(1);
  Gate started;
  {
    WorkerPool pool(1);
    pool.Run([&] {
      started.Open();
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      finished = true;
    });
    started.Wait();
    pool.Run([&, held] { queued_ran = true; });
  }
  EXPECT_TRUE(finished);
  EXPECT_FALSE(queued_ran);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(WorkerPool, TasksMayQueueTasks) {
  Gate done;
  WorkerPool pool(1);
  pool.Run([&] { pool.Run([&] { done.Open(); }); });
  done.Wait();
}

TEST(WorkerPool, WorkersTakeNoSignals) {
  Gate done;
  sigset_t mask;
  sigemptyset(&mask);
  WorkerPool pool(1);
  pool.Run([&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    done.Open();
  });
  done.Wait();
  EXPECT_EQ(sigismember(&mask, SIGTERM), 1);
  EXPECT_EQ(sigismember(&mask, SIGSEGV), 0);
}

TEST(WorkerPool, StackIsLargeEnoughForBuffers) {
  Gate done;
  WorkerPool pool(1);
  std::atomic<int> sum = 0;
  pool.Run([&] {
    volatile char buffer[150 << 10];
    buffer[0] = 1;
    buffer[sizeof(buffer) - 1] = 2;
    sum = buffer[0] + buffer[sizeof(buffer) - 1];
    done.Open();
  });
  done.Wait();
  EXPECT_EQ(sum, 3);
}

}  // namespace
}  // namespace wherry
