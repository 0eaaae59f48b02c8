#include "engine/time_keeper.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/base/fd.h"
#include "core/base/file.h"
#include "net/tls/time_floor.h"

namespace wherry::engine {

namespace {

constexpr std::chrono::hours kPeriod{6};
constexpr uint32_t kFileMode = 0600;

}  // namespace

TimeKeeper::TimeKeeper(Loop* loop, std::string file) : loop_(loop), file_(std::move(file)) {
  struct stat info{};
  if (lstat(file_.c_str(), &info) == 0 && S_ISREG(info.st_mode))
    tls::RaiseTimeFloor(info.st_mtime);
  timer_ = loop_->After(kPeriod, [this] { Touch(); });
}

TimeKeeper::~TimeKeeper() {
  loop_->Cancel(timer_);
}

void TimeKeeper::Touch() {
  timer_ = loop_->After(kPeriod, [this] { Touch(); });
  if (!tls::ClockIsKept())
    return;
  if (auto file = Open(file_, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, kFileMode))
    (void)futimens(file->get(), nullptr);
}

}  // namespace wherry::engine
