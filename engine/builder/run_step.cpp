#include "engine/builder/run_step.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "core/base/log.h"
#include "core/base/text.h"
#include "engine/builder/await.h"
#include "engine/container_attach.h"
#include "engine/lost_cgroup.h"

namespace wherry::engine {

namespace {

// How much of a text there is without a UTF-8 character whose end is yet to come.
size_t WholeCharacters(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    auto byte = static_cast<uint8_t>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80)
      continue;
    size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? text.size() - back : text.size();
  }
  return text.size();
}

}  // namespace

// What the container writes, on its way from the loop to the worker. To the loop it is a client.
class RunStep::Output final : public http::Stream, public std::enable_shared_from_this<Output> {
 public:
  explicit Output(Loop* loop) : loop_(loop) {}

  // Loop thread.
  void Write(std::string_view bytes) override {
    std::lock_guard lock(mutex_);
    bytes_ += bytes;
    changed_.notify_all();
  }
  size_t pending() const override {
    std::lock_guard lock(mutex_);
    return bytes_.size();
  }
  void OnDrain(std::move_only_function<void()> callback) override {
    on_drain_ = std::move(callback);
  }
  void OnData(std::move_only_function<void(std::string_view)>) override {}
  void PauseReading(bool) override {}
  void OnReadEnd(std::move_only_function<void()>) override {}
  // Keeps the session alive.
  void OnClose(std::move_only_function<void()> callback) override {
    on_close_ = std::move(callback);
  }
  void Close() override {
    on_drain_ = nullptr;
    loop_->Post([callback = std::move(on_close_)] {});  // not from inside a call
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  void Ended(const WaitResult& result) {
    std::lock_guard lock(mutex_);
    result_ = result;
    changed_.notify_all();
  }

  // Worker: what there is, after waiting for something. False: it has ended, and all was given.
  bool Take(std::string& out, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    if (bytes_.empty() && !(closed_ && result_))
      changed_.wait_for(lock, patience);
    out.swap(bytes_);
    bytes_.clear();
    if (!out.empty())
      loop_->Post([self = shared_from_this()] {
        if (self->on_drain_)
          self->on_drain_();
      });
    return !out.empty() || !(closed_ && result_);
  }
  WaitResult result() const {
    std::lock_guard lock(mutex_);
    return *result_;
  }

 private:
  Loop* loop_;
  std::move_only_function<void()> on_drain_;  // loop thread only, as the next
  std::move_only_function<void()> on_close_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string bytes_;  // guarded by mutex_, as all that follows
  bool closed_ = false;
  std::optional<WaitResult> result_;
};

RunStep::~RunStep() {
  if (!container_)
    return;
  auto removed = Await<void>(
      env_.loop, *env_.ended, [containers = env_.containers, container = container_](Done<> done) {
        containers->Remove(container, Containers::Force::kYes, Containers::TheirVolumes::kRemove,
                           std::move(done));
      });
  if (removed || removed.error().code() == Errc::kNotFound)
    return;
  // The next daemon removes it. What it does until then nobody waits for.
  Result<bool> left = env_.ended->load()
                          ? RemoveLostCgroup(env_.containers->CgroupPath(container_->id))
                          : std::unexpected(std::move(removed).error());
  if (!left)
    LogWarning("a container of a build is left behind: ", left.error().message());
}

Result<std::string> RunStep::Create(const std::string& body) {
  auto created = TRY(Await<Containers::Created>(
      env_.loop, *env_.ended,
      [containers = env_.containers, name = name_, body](Done<Containers::Created> done) {
        containers->Create({name, "", body}, std::move(done));
      }));
  container_ =
      TRY(Await<ContainerPtr>(env_.loop, *env_.ended,
                              [containers = env_.containers, id = created.id](
                                  Done<ContainerPtr> done) { done(containers->Find(id)); }));
  return created.id;
}

Result<> RunStep::Start(const std::shared_ptr<Output>& stream) {
  return Await<void>(env_.loop, *env_.ended,
                     [containers = env_.containers, container = container_, stream](Done<> done) {
                       // One raw stream of both outputs.
                       AttachOptions options;
                       options.tty = options.with_stdout = options.with_stderr = true;
                       auto session = std::make_shared<AttachSession>(stream, std::move(options));
                       containers->Attach(container, session);
                       containers->Wait(
                           container, WaitCondition::kNextExit,
                           [stream](const WaitResult& result) { stream->Ended(result); });
                       containers->Start(container, std::move(done));
                     });
}

Result<int> RunStep::Run(BuildOutput& output) {
  auto stream = std::make_shared<Output>(env_.loop);
  TRY(Start(stream));
  std::string text;
  std::string piece;
  while (stream->Take(piece, kAwaitPeriod)) {
    if (env_.cancel->load() || env_.ended->load())
      return Fail(Errc::kCancelled, "the build was cancelled");
    text += std::exchange(piece, {});
    size_t whole = WholeCharacters(text);
    if (whole > 0)
      TRY(output.Say(std::string_view(text).substr(0, whole)));
    text.erase(0, whole);
  }
  if (!text.empty())
    TRY(output.Say(text));
  WaitResult result = stream->result();
  if (!result.error.empty())
    return Fail(Errc::kInternal, result.error);
  return result.exit_code;
}

}  // namespace wherry::engine
