#include "engine/pace.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "tests/unit/temp_dir.h"

namespace wherry::engine {
namespace {

using std::chrono::milliseconds;

class PaceTest : public testing::Test {
 protected:
  void Stall(uint64_t micros) {
    std::string line = Cat("avg10=0.00 avg60=0.00 avg300=0.00 total=", micros, "\n");
    ASSERT_TRUE(ReplaceFile(file_, Cat("some ", line, "full ", line), 0600, Durability::kVolatile));
  }
  // Works for `time` while containers stand still for `share` percent of it; how long it waits.
  std::chrono::nanoseconds Waited(Pace& pace, milliseconds time, uint64_t share) {
    std::chrono::nanoseconds waited{};
    for (auto end = Uptime() + time; Uptime() < end;) {
      auto began = Uptime();
      std::this_thread::sleep_for(milliseconds(20));
      auto worked = Uptime() - began;
      Stall(stalled_ += static_cast<uint64_t>(worked.count()) / 1000 * share / 100);
      began = Uptime();
      pace.Wait();
      waited += Uptime() - began;
    }
    return waited;
  }

  TempDir temp_;
  std::string file_ = temp_ / "io.pressure";
  uint64_t stalled_ = 1'000'000;
};

TEST_F(PaceTest, WaitsWhileContainersStandStill) {
  Pace pace(file_);
  Stall(stalled_);
  EXPECT_LT(Waited(pace, milliseconds(500), 5), milliseconds(30));
  EXPECT_GT(Waited(pace, milliseconds(2000), 50), milliseconds(1000));
  Waited(pace, milliseconds(2500), 0);  // it forgets
  EXPECT_LT(Waited(pace, milliseconds(500), 0), milliseconds(30));
}

TEST_F(PaceTest, NeverWaitsWithoutContainers) {
  Pace none("");
  Pace absent(temp_ / "absent");
  auto began = Uptime();
  for (int i = 0; i < 1000; ++i) {
    none.Wait();
    absent.Wait();
  }
  EXPECT_LT(Uptime() - began, milliseconds(500));
}

TEST(UseDiskLast, ThreadsMadeAfterItAreIdle) {
  int priority = -1;
  std::thread([&] {
    UseDiskLast();
    std::thread([&] { priority = static_cast<int>(syscall(SYS_ioprio_get, 1, 0)); }).join();
  }).join();
  EXPECT_EQ(priority >> 13, 3);
}

}  // namespace
}  // namespace wherry::engine
